//! The bucket, read from the store's disk, and the workers' logs.

use std::collections::HashSet;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use super::tables::{Export, Tables};
use crate::ledger::Request;
use crate::world::World;

/// The stored file of a completed export holds exactly the bytes of its query.
pub fn stored(world: &World, export: &Export, request: &Request) -> Result<(), String> {
    if export.objects.is_empty() {
        return Err("it is completed, and has no objects".into());
    }
    let mut bytes = Vec::new();
    for (key, size) in &export.objects {
        let object = std::fs::read(world.store_dir.join(key)).map_err(|error| format!("its object cannot be read: {error}"))?;
        if object.len() as i64 != *size {
            return Err(format!("an object has {} bytes, and its manifest says {size}", object.len()));
        }
        bytes.extend(object);
    }
    if export.rows != Some(request.lines as i64) {
        return Err(format!("the manifest counts {:?} rows of {}", export.rows, request.lines));
    }
    is_content(world, request, &bytes)
}

/// These bytes are what the query gives.
pub fn is_content(world: &World, request: &Request, bytes: &[u8]) -> Result<(), String> {
    let mut unpacked = Vec::new();
    let content = if request.gzip {
        MultiGzDecoder::new(bytes).read_to_end(&mut unpacked).map_err(|error| format!("not gzip: {error}"))?;
        &unpacked[..]
    } else {
        bytes
    };
    let expected = request.content(&world.lines);
    if content == expected {
        return Ok(());
    }
    let same = content.iter().zip(&expected).take_while(|(is, was)| is == was).count();
    Err(format!("the file has {} bytes instead of {}, and differs from byte {same} on", content.len(), expected.len()))
}

/// Objects that no manifest names.
pub fn strays(world: &World, tables: &Tables) -> Vec<String> {
    let known: HashSet<PathBuf> =
        tables.exports.values().flat_map(|export| &export.objects).map(|(key, _)| world.store_dir.join(key)).collect();
    files_below(&world.store_dir).into_iter().filter(|path| !known.contains(path)).map(|path| path.display().to_string()).collect()
}

/// Whether there is any object in this directory.
pub fn holds_any(dir: &Path) -> bool {
    !files_below(dir).is_empty()
}

/// What is no hidden file; those are the stand-in's notes on its objects.
fn files_below(dir: &Path) -> Vec<PathBuf> {
    let (mut files, mut todo) = (Vec::new(), vec![dir.to_path_buf()]);
    while let Some(dir) = todo.pop() {
        for entry in dir.read_dir().into_iter().flatten().flatten() {
            let hidden = entry.file_name().to_string_lossy().starts_with('.');
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => todo.push(entry.path()),
                Ok(_) if !hidden => files.push(entry.path()),
                _ => {}
            }
        }
    }
    files
}

/// Lines of the workers' logs that tell of a panic.
pub fn panics(dir: &Path) -> Vec<String> {
    let logs = dir.read_dir().into_iter().flatten().flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with("worker-"));
    let texts = logs.map(|log| String::from_utf8_lossy(&std::fs::read(log.path()).unwrap()).into_owned());
    texts.flat_map(|text| text.lines().filter(|line| line.contains("panicked at")).map(ToString::to_string).collect::<Vec<_>>()).collect()
}
