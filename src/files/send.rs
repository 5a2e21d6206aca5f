//! How a file's response goes out: a head that says the length, and the kernel sends the rest.

use super::Served;
use super::found::Answer;
use super::offer::{Found, Parts, with_fields};
use crate::codec::{Codec, Encoder};
use crate::http::{Chunk, Request, Response, content_range};
use crate::{Conn, Result};
use std::fs::Metadata;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;

pub(super) async fn send<C>(conn: &mut Conn<C>, request: &Request<'_>, answer: Answer) -> Result<Served>
where
    C: Codec,
    C::Encoder: for<'a> Encoder<Response<'a>> + for<'a> Encoder<Chunk<'a>>,
{
    match answer {
        Answer::Refused(status) => send_short(conn, request, &Response::text(status.reason()).status(status)).await,
        Answer::Head(response) => send_short(conn, request, &response).await,
        Answer::File(found) => send_found(conn, request, found).await,
    }
}

async fn send_short<C>(conn: &mut Conn<C>, request: &Request<'_>, response: &Response<'_>) -> Result<Served>
where
    C: Codec,
    C::Encoder: for<'a> Encoder<Response<'a>>,
{
    conn.send(response).await?;
    let bytes = if request.method() == "HEAD" { 0 } else { response.body().map_or(0, <[u8]>::len) };
    Ok(Served { status: response.code(), bytes: bytes as u64 })
}

async fn send_found<C>(conn: &mut Conn<C>, request: &Request<'_>, found: Found) -> Result<Served>
where
    C: Codec,
    C::Encoder: for<'a> Encoder<Response<'a>> + for<'a> Encoder<Chunk<'a>>,
{
    let Found { file, metadata, media_type, status, current, fields, parts } = found;
    let body = Body::of(&parts, &media_type, metadata.len());
    let response = Response::sized(&body.media_type, body.length).status(status).validators(&current);
    conn.send(&with_fields(response, &fields)).await?;
    let served = Served { status, bytes: body.length };
    if request.method() == "HEAD" {
        conn.send(&Chunk::last()).await?;
        return Ok(Served { status, bytes: 0 });
    }
    for (before, part) in body.parts {
        if !before.is_empty() {
            conn.send(&Chunk::new(before.as_bytes())).await?;
        }
        if !part.is_empty() {
            let sent = conn.send_file(&file, part).await?;
            conn.send(&Chunk::passed(sent)).await?;
        }
    }
    if !body.end.is_empty() {
        conn.send(&Chunk::new(body.end.as_bytes())).await?;
    }
    if file.metadata().is_ok_and(|now| version(&now) != version(&metadata)) {
        tracing::warn!(connection = %conn.id(), "a file was changed while it was sent: the connection closes");
        conn.close();
    }
    Ok(served)
}

fn version(metadata: &Metadata) -> (u64, i64, i64) {
    (metadata.len(), metadata.mtime(), metadata.mtime_nsec())
}

/// Parts of a file, and what stands between them.
struct Body {
    media_type: String,
    length: u64,
    /// Text, and the part of the file behind it.
    parts: Vec<(String, Range<u64>)>,
    end: String,
}

impl Body {
    fn of(parts: &Parts, media_type: &str, length: u64) -> Body {
        match parts {
            Parts::One(part) => Body {
                media_type: media_type.to_owned(),
                length: part.end - part.start,
                parts: vec![(String::new(), part.clone())],
                end: String::new(),
            },
            Parts::Several(parts) => Body::multipart(parts, media_type, length),
        }
    }

    /// RFC 9110, section 14.6.
    fn multipart(parts: &[Range<u64>], media_type: &str, length: u64) -> Body {
        // A boundary that a file's author cannot foresee (RFC 2046, section 5.1.1).
        let boundary = format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
        let head = |part: &Range<u64>| {
            let range = content_range(part, length);
            format!("\r\n--{boundary}\r\nContent-Type: {media_type}\r\nContent-Range: {range}\r\n\r\n")
        };
        let parts: Vec<_> = parts.iter().map(|part| (head(part), part.clone())).collect();
        let end = format!("\r\n--{boundary}--\r\n");
        let sum = |(head, part): &(String, Range<u64>)| head.len() as u64 + part.end - part.start;
        let length = parts.iter().map(sum).sum::<u64>() + end.len() as u64;
        Body { media_type: format!("multipart/byteranges; boundary={boundary}"), length, parts, end }
    }
}
