//! To and from the types of the crate `http`, which other libraries speak of.

use super::{Request, Response, Status, Trailers, Version};
use ::http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, DATE, TRANSFER_ENCODING};
use ::http::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use std::fmt;

impl From<Version> for ::http::Version {
    fn from(version: Version) -> ::http::Version {
        match version {
            Version::Http10 => ::http::Version::HTTP_10,
            Version::Http11 => ::http::Version::HTTP_11,
        }
    }
}

impl From<::http::StatusCode> for Status {
    fn from(status: ::http::StatusCode) -> Status {
        Status(status.as_u16())
    }
}

/// Fails for a number that has not three digits.
impl TryFrom<Status> for ::http::StatusCode {
    type Error = ::http::status::InvalidStatusCode;

    fn try_from(status: Status) -> Result<::http::StatusCode, Self::Error> {
        ::http::StatusCode::from_u16(status.0)
    }
}

/// A request as one of the crate `http`, with a copy of its body. Its address is the target as it was sent; trailers are left out.
///
/// ```
/// use tiderace::http::{Http, Request, Response, Status};
/// use tiderace::{Conn, Handler, Result};
///
/// /// A function that another library might have.
/// fn serve(request: http::Request<bytes::Bytes>) -> http::Response<String> {
///     http::Response::new(format!("{} {}", request.method(), request.uri().path()))
/// }
///
/// struct Bridge;
///
/// impl Handler for Bridge {
///     type Codec = Http;
///
///     async fn on_message(&mut self, conn: &mut Conn<Http>, request: Request<'_>) -> Result {
///         match http::Request::try_from(request) {
///             Ok(request) => conn.send(&Response::try_from(&serve(request))?).await,
///             Err(_) => conn.send(&Response::new(Status::BAD_REQUEST)).await,
///         }
///     }
/// }
/// ```
///
/// # Errors
/// If that crate does not take what this library does, such as a target longer than 65,534 bytes.
impl TryFrom<Request<'_>> for ::http::Request<Bytes> {
    type Error = ::http::Error;

    fn try_from(request: Request<'_>) -> Result<::http::Request<Bytes>, ::http::Error> {
        let body = Bytes::copy_from_slice(request.body());
        Ok(::http::Request::<()>::try_from(request)?.map(|()| body))
    }
}

/// The head of a request, such as that of a [`Part::Request`](super::Part::Request).
///
/// # Errors
/// As those of a request with its body.
impl TryFrom<Request<'_>> for ::http::Request<()> {
    type Error = ::http::Error;

    fn try_from(request: Request<'_>) -> Result<::http::Request<()>, ::http::Error> {
        let mut builder =
            ::http::Request::builder().method(request.method()).uri(request.target()).version(request.version().into());
        if let Some(fields) = builder.headers_mut() {
            append(fields, request.headers())?;
        }
        builder.body(())
    }
}

/// The fields behind a body in chunks.
///
/// # Errors
/// If that crate does not take a field that this library does.
impl TryFrom<Trailers<'_>> for HeaderMap {
    type Error = ::http::Error;

    fn try_from(trailers: Trailers<'_>) -> Result<HeaderMap, ::http::Error> {
        let mut fields = HeaderMap::new();
        append(&mut fields, trailers.iter())?;
        Ok(fields)
    }
}

fn append<'a>(fields: &mut HeaderMap, from: impl Iterator<Item = (&'a str, &'a [u8])>) -> Result<(), ::http::Error> {
    for (name, value) in from {
        fields.try_append(HeaderName::from_bytes(name.as_bytes())?, HeaderValue::from_bytes(value)?)?;
    }
    Ok(())
}

/// A response of the crate `http`, whose body is there as a whole and is lent. The length, the coding and the date are written anew
/// by this library, and `Connection: close` [closes](Response::close); other options of that field are left out. A body without a
/// `Content-Type` is sent as `application/octet-stream`.
///
/// # Errors
/// If the value of a field is not UTF-8.
impl<'a, B: AsRef<[u8]>> TryFrom<&'a ::http::Response<B>> for Response<'a> {
    type Error = FieldError;

    fn try_from(response: &'a ::http::Response<B>) -> Result<Response<'a>, FieldError> {
        let body = response.body().as_ref();
        let media_type = response.headers().get(CONTENT_TYPE).map(|value| text(&CONTENT_TYPE, value)).transpose()?;
        let mut converted = match media_type {
            Some(media_type) => Response::with_body(media_type, body),
            None if body.is_empty() => Response::new(Status::OK),
            None => Response::with_body("application/octet-stream", body),
        };
        for (name, value) in response.headers() {
            let value = text(name, value)?;
            converted = match *name {
                CONTENT_LENGTH | CONTENT_TYPE | DATE | TRANSFER_ENCODING => converted,
                CONNECTION if value.split(',').any(|option| option.trim().eq_ignore_ascii_case("close")) => {
                    converted.close()
                }
                CONNECTION => converted,
                _ => converted.header(name.as_str(), value),
            };
        }
        Ok(converted.status(response.status().into()))
    }
}

fn text<'a>(name: &HeaderName, value: &'a HeaderValue) -> Result<&'a str, FieldError> {
    std::str::from_utf8(value.as_bytes()).map_err(|_| FieldError { name: name.clone() })
}

/// A field of a response whose value is not UTF-8.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    name: HeaderName,
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected a value in UTF-8 for the field {}, found another", self.name)
    }
}

impl std::error::Error for FieldError {}
