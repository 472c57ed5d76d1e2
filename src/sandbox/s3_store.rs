//! The S3 operations that exportbox uses: s3s-fs does the work, and what it does otherwise than AWS is put right here.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use s3s::dto::*;
use s3s::{S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result, s3_error};
use s3s_fs::FileSystem;

use super::body_check::{Announced, Check};
use super::s3_capacity::Capacity;
use super::s3_listings::{self, Names};
use super::uploads::{Completion, PendingUpload, StoredPart, UploadPlace, Uploads, WholeCrc32, no_such_upload};

/// s3s-fs with the corrections. Clones share everything.
#[derive(Clone)]
pub(super) struct FileStore {
    files: Arc<FileSystem>,
    root: PathBuf,
    names: Arc<Names>,
    capacity: Capacity,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    uploads: Uploads,
    locks: HashMap<UploadPlace, Arc<tokio::sync::Mutex<()>>>,
}

impl FileStore {
    pub(super) fn new(root: &Path) -> anyhow::Result<FileStore> {
        let files = FileSystem::new(root).map_err(|error| anyhow::anyhow!("open the directory of the S3 stand-in: {error:?}"))?;
        Ok(FileStore {
            files: Arc::new(files),
            root: root.to_owned(),
            names: Arc::default(),
            capacity: Capacity::default(),
            state: Arc::default(),
        })
    }

    /// Looks at, or changes, the open uploads and the checksums.
    pub(super) fn uploads<T>(&self, look: impl FnOnce(&mut Uploads) -> T) -> T {
        look(&mut self.state().uploads)
    }

    /// Where a bucket's objects lie.
    pub(super) fn bucket_dir(&self, bucket: &str) -> PathBuf {
        self.root.join(bucket)
    }

    /// The names of long keys.
    pub(super) fn names(&self) -> &Names {
        &self.names
    }

    /// How much still fits.
    pub(super) fn capacity(&self) -> &Capacity {
        &self.capacity
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One lock for each object: the look whether the key is free and the write must not be parted.
    fn lock(&self, bucket: &str, key: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut state = self.state();
        state.locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        Arc::clone(state.locks.entry((bucket.into(), key.into())).or_default())
    }

    fn need_bucket(&self, bucket: &str) -> S3Result<()> {
        if self.bucket_dir(bucket).is_dir() { Ok(()) } else { Err(s3_error!(NoSuchBucket, "The specified bucket does not exist")) }
    }

    /// AWS sends checksums back only to those who ask.
    fn checksum(&self, asked: Option<&ChecksumMode>, bucket: &str, key: &str) -> Option<WholeCrc32> {
        asked.filter(|mode| mode.as_str() == ChecksumMode::ENABLED)?;
        self.uploads(|uploads| uploads.checksums.get(&(bucket.to_owned(), key.to_owned())).cloned())
    }
}

/// Gives a sentence to the errors that s3s-fs leaves without one.
fn worded<T>(result: S3Result<T>) -> S3Result<T> {
    result.map_err(|mut error| {
        let message = match error.code() {
            S3ErrorCode::NoSuchKey => "The specified key does not exist.",
            S3ErrorCode::NoSuchBucket => "The specified bucket does not exist",
            S3ErrorCode::PreconditionFailed => "At least one of the pre-conditions you specified did not hold",
            _ => return error,
        };
        error.set_message(message);
        error
    })
}

/// Hands a request on under the name that the key has on disk.
macro_rules! on_disk {
    ($store:ident, $request:ident) => {
        $request.input.key = $store.names.on_disk(&$request.input.bucket, &$request.input.key)
    };
}

#[async_trait::async_trait]
impl S3 for FileStore {
    async fn create_bucket(&self, request: S3Request<CreateBucketInput>) -> S3Result<S3Response<CreateBucketOutput>> {
        if self.need_bucket(&request.input.bucket).is_ok() {
            return Err(s3_error!(
                BucketAlreadyOwnedByYou,
                "Your previous request to create the named bucket succeeded and you already own it."
            ));
        }
        self.files.create_bucket(request).await
    }

    async fn head_bucket(&self, request: S3Request<HeadBucketInput>) -> S3Result<S3Response<HeadBucketOutput>> {
        self.files.head_bucket(request).await
    }

    async fn get_bucket_location(&self, request: S3Request<GetBucketLocationInput>) -> S3Result<S3Response<GetBucketLocationOutput>> {
        worded(self.files.get_bucket_location(request).await)
    }

    async fn get_bucket_lifecycle_configuration(
        &self,
        request: S3Request<GetBucketLifecycleConfigurationInput>,
    ) -> S3Result<S3Response<GetBucketLifecycleConfigurationOutput>> {
        self.need_bucket(&request.input.bucket)?;
        Err(s3_error!(NoSuchLifecycleConfiguration, "The lifecycle configuration does not exist"))
    }

    async fn list_buckets(&self, request: S3Request<ListBucketsInput>) -> S3Result<S3Response<ListBucketsOutput>> {
        self.files.list_buckets(request).await
    }

    async fn put_object(&self, mut request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let input = &mut request.input;
        self.need_bucket(&input.bucket)?;
        let place = (input.bucket.clone(), input.key.clone());
        let lock = self.lock(&place.0, &place.1);
        let must_be_free = input.if_none_match.as_ref().is_some_and(ETagCondition::is_any);
        on_disk!(self, request);
        let input = &mut request.input;
        let check = Check::default();
        let announced = Announced {
            crc32: input.checksum_crc32.clone(),
            trailers: request.trailing_headers.clone(),
            free: must_be_free.then(|| (self.bucket_dir(&input.bucket).join(&input.key), lock)),
            capacity: self.capacity.clone(),
        };
        input.body = input.body.take().map(|body| check.wrap(body, announced));
        let result = self.files.put_object(request).await;
        let arrived = check.outcome()?;
        let mut response = worded(result)?;
        let text = super::uploads::crc32_text(arrived.crc.clone().finalize());
        response.output.checksum_crc32 = arrived.verified.then(|| text.clone());
        self.uploads(|uploads| {
            if arrived.verified {
                uploads.checksums.insert(place, WholeCrc32 { text, kind: ChecksumType::from_static(ChecksumType::FULL_OBJECT) });
            } else {
                uploads.checksums.remove(&place);
            }
        });
        Ok(response)
    }

    async fn get_object(&self, mut request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        self.need_bucket(&request.input.bucket)?;
        let part_of_it = request.input.range.is_some();
        let crc32 = self.checksum(request.input.checksum_mode.as_ref(), &request.input.bucket, &request.input.key);
        on_disk!(self, request);
        let mut response = worded(self.files.get_object(request).await)?;
        let crc32 = crc32.filter(|_| !part_of_it);
        response.output.checksum_type = crc32.as_ref().map(|crc32| crc32.kind.clone());
        response.output.checksum_crc32 = crc32.map(|crc32| crc32.text);
        Ok(response)
    }

    async fn head_object(&self, mut request: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        self.need_bucket(&request.input.bucket)?;
        let crc32 = self.checksum(request.input.checksum_mode.as_ref(), &request.input.bucket, &request.input.key);
        on_disk!(self, request);
        let mut response = worded(self.files.head_object(request).await)?;
        response.output.checksum_type = crc32.as_ref().map(|crc32| crc32.kind.clone());
        response.output.checksum_crc32 = crc32.map(|crc32| crc32.text);
        Ok(response)
    }

    async fn delete_object(&self, mut request: S3Request<DeleteObjectInput>) -> S3Result<S3Response<DeleteObjectOutput>> {
        self.need_bucket(&request.input.bucket)?;
        on_disk!(self, request);
        worded(self.files.delete_object(request).await)
    }

    async fn delete_objects(&self, mut request: S3Request<DeleteObjectsInput>) -> S3Result<S3Response<DeleteObjectsOutput>> {
        self.need_bucket(&request.input.bucket)?;
        let bucket = request.input.bucket.clone();
        for object in &mut request.input.delete.objects {
            object.key = self.names.on_disk(&bucket, &object.key);
        }
        let quiet = request.input.delete.quiet.unwrap_or(false);
        let mut response = worded(self.files.delete_objects(request).await)?;
        if quiet {
            response.output.deleted = None;
        }
        for deleted in response.output.deleted.iter_mut().flatten() {
            deleted.key = deleted.key.take().map(|key| self.names.real(key));
        }
        Ok(response)
    }

    async fn list_objects_v2(&self, request: S3Request<ListObjectsV2Input>) -> S3Result<S3Response<ListObjectsV2Output>> {
        self.need_bucket(&request.input.bucket)?;
        let (bucket, prefix) = (self.bucket_dir(&request.input.bucket), request.input.prefix.clone().unwrap_or_default());
        // s3s-fs looks at every file of the bucket, whatever is asked for: too slow once there are thousands.
        let walk = tokio::task::spawn_blocking(move || s3_listings::below(&bucket, &prefix));
        let all = walk.await.map_err(|_| s3_error!(InternalError))?.map_err(|_| s3_error!(InternalError))?;
        Ok(S3Response::new(s3_listings::objects(&self.names, all, request.input)))
    }

    async fn create_multipart_upload(
        &self,
        mut request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        self.need_bucket(&request.input.bucket)?;
        let key = request.input.key.clone();
        let mut upload = PendingUpload {
            bucket: request.input.bucket.clone(),
            key: key.clone(),
            started: SystemTime::now(),
            algorithm: request.input.checksum_algorithm.clone(),
            kind: request.input.checksum_type.clone(),
            parts: Default::default(),
        };
        if upload.algorithm.is_some() && upload.kind.is_none() {
            upload.kind = Some(ChecksumType::from_static(ChecksumType::COMPOSITE));
        }
        on_disk!(self, request);
        let mut response = self.files.create_multipart_upload(request).await?;
        let output = &mut response.output;
        output.key = Some(key);
        output.checksum_algorithm = upload.algorithm.clone();
        output.checksum_type = upload.kind.clone();
        let id = output.upload_id.clone().unwrap_or_default();
        self.uploads(|uploads| uploads.open.insert(id, upload));
        Ok(response)
    }

    async fn upload_part(&self, mut request: S3Request<UploadPartInput>) -> S3Result<S3Response<UploadPartOutput>> {
        let (bucket, key, id) = (request.input.bucket.clone(), request.input.key.clone(), request.input.upload_id.clone());
        let number = request.input.part_number;
        self.need_bucket(&bucket)?;
        self.uploads(|uploads| uploads.find(&bucket, &key, &id).map(|_| ()))?;
        let check = Check::default();
        let announced = Announced {
            crc32: request.input.checksum_crc32.clone(),
            trailers: request.trailing_headers.clone(),
            free: None,
            capacity: self.capacity.clone(),
        };
        request.input.body = request.input.body.take().map(|body| check.wrap(body, announced));
        let result = self.files.upload_part(request).await;
        let arrived = check.outcome()?;
        // An abort may have come while the part was on its way.
        let mut response = match result {
            Err(error) if *error.code() == S3ErrorCode::AccessDenied => return Err(no_such_upload()),
            other => other?,
        };
        let etag = response.output.e_tag.as_ref().map(|etag| etag.value().to_owned()).unwrap_or_default();
        let part = StoredPart { etag, size: arrived.size, crc: arrived.crc, stored: SystemTime::now() };
        response.output.checksum_crc32 = arrived.verified.then(|| part.crc32());
        self.uploads(|uploads| uploads.find_mut(&bucket, &key, &id).map(|upload| upload.parts.insert(number, part)))?;
        Ok(response)
    }

    async fn complete_multipart_upload(
        &self,
        mut request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let input = &request.input;
        let (bucket, key, id) = (input.bucket.clone(), input.key.clone(), input.upload_id.clone());
        self.need_bucket(&bucket)?;
        let place = (bucket, key);
        let lock = self.lock(&place.0, &place.1);
        let _alone = lock.lock().await;
        let named = input.multipart_upload.as_ref().and_then(|upload| upload.parts.as_deref()).unwrap_or_default();
        let (crc32, kind, size) = (input.checksum_crc32.as_deref(), input.checksum_type.as_ref(), input.mpu_object_size);
        let stated = Completion { parts: named, crc32, kind, size };
        let whole = self.uploads(|uploads| uploads.find(&place.0, &place.1, &id)?.check(&stated))?;
        on_disk!(self, request);
        let response = worded(self.files.complete_multipart_upload(request).await)?;
        self.uploads(|uploads| {
            uploads.open.remove(&id);
            match &whole {
                Some(whole) => uploads.checksums.insert(place.clone(), whole.clone()),
                None => uploads.checksums.remove(&place),
            }
        });
        // s3s-fs has done the work and only pretends to be slow; its future holds the ETag.
        let output = match response.output.future {
            Some(future) => future.await?,
            None => response.output,
        };
        let (bucket, key) = place;
        Ok(S3Response::new(CompleteMultipartUploadOutput {
            bucket: Some(bucket),
            key: Some(key),
            e_tag: output.e_tag,
            checksum_type: whole.as_ref().map(|whole| whole.kind.clone()),
            checksum_crc32: whole.map(|whole| whole.text),
            ..Default::default()
        }))
    }

    async fn abort_multipart_upload(
        &self,
        mut request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let input = &request.input;
        self.need_bucket(&input.bucket)?;
        let lock = self.lock(&input.bucket, &input.key);
        let _alone = lock.lock().await;
        let id = input.upload_id.clone();
        self.uploads(|uploads| {
            uploads.find(&input.bucket, &input.key, &id)?;
            Ok::<_, S3Error>(uploads.open.remove(&id))
        })?;
        on_disk!(self, request);
        self.files.abort_multipart_upload(request).await
    }

    async fn list_parts(&self, request: S3Request<ListPartsInput>) -> S3Result<S3Response<ListPartsOutput>> {
        self.need_bucket(&request.input.bucket)?;
        self.uploads(|uploads| s3_listings::parts(uploads, request.input)).map(S3Response::new)
    }

    async fn list_multipart_uploads(
        &self,
        request: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        self.need_bucket(&request.input.bucket)?;
        Ok(S3Response::new(self.uploads(|uploads| s3_listings::uploads(uploads, request.input))))
    }
}
