//! Reading a request body up to a limit.

use axum::body::Body;
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

/// Why a body was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    /// It is longer than allowed.
    TooLong,
    /// The client broke off.
    BrokenOff,
}

/// The whole body, if it has at most `bytes_max` bytes.
pub(crate) async fn read(body: Body, bytes_max: usize) -> Result<Bytes, Unread> {
    match Limited::new(body, bytes_max).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Unread::TooLong),
        Err(_) => Err(Unread::BrokenOff),
    }
}
