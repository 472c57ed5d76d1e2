//! exportbox: insert a row, get a file.

fn main() -> anyhow::Result<()> {
    #[cfg(feature = "sandbox")]
    {
        let arguments: Vec<String> = std::env::args().collect();
        if let [_, command, spec] = arguments.as_slice()
            && command == "s3-put"
        {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            return runtime.block_on(exportbox::sandbox::aws_s3::s3_put(spec));
        }
    }
    Ok(())
}
