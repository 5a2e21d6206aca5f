//! What is said before the first command.

use super::config::RedisConfig;
use super::{RedisError, ServerError};
use crate::codec::ProtocolError;
use crate::error::{Error, Result};
use crate::framed::Framed;
use crate::net::Stream;
use crate::resp::{Replies, Value, Version};
use crate::runtime::timeout;
use std::io;

/// Connects, and agrees on a version of the protocol, a user, a name and a database.
pub(super) async fn connect(config: &RedisConfig) -> Result<Stream> {
    let stream = config.connector().connect().await?;
    let limit = config.greeting_limit();
    let greeted = timeout(limit, async {
        let mut redis = stream.framed(config.replies);
        greet(&mut redis, config).await?;
        Ok(redis.into_stream())
    });
    let mute = |_| {
        let source = io::Error::new(io::ErrorKind::TimedOut, "it does not answer");
        Err(Error::Connect { address: config.address().to_owned(), source })
    };
    greeted.await.unwrap_or_else(mute)
}

async fn greet(redis: &mut Framed<Replies>, config: &RedisConfig) -> Result {
    let is_new = config.protocol == Version::Resp3 && hello(redis, config).await?;
    if !is_new {
        if let Some(password) = &config.password {
            let arguments: &[&str] = match &config.user {
                Some(user) => &["AUTH", user, password],
                None => &["AUTH", password],
            };
            expect_ok(ask(redis, arguments).await?)?;
        }
        if let Some(name) = &config.name
            && let Err(error) = ask(redis, &["CLIENT", "SETNAME", name]).await?
        {
            // It is there for those who look at the server; some proxies have no names.
            tracing::debug!(to = %config.address(), %error, "a Redis takes no name of a client");
        }
    }
    if config.database != 0 {
        expect_ok(ask(redis, &["SELECT", &config.database.to_string()]).await?)?;
    }
    Ok(())
}

/// Asks for version 3. Says whether the server speaks it; one that is older does not know the command, and has changed nothing.
async fn hello(redis: &mut Framed<Replies>, config: &RedisConfig) -> Result<bool> {
    let mut arguments = vec!["HELLO", "3"];
    if let Some(password) = &config.password {
        arguments.extend(["AUTH", config.user.as_deref().unwrap_or("default"), password]);
    }
    if let Some(name) = &config.name {
        arguments.extend(["SETNAME", name]);
    }
    match ask(redis, &arguments).await? {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.code(), "ERR" | "NOPROTO") => {
            tracing::debug!(to = %config.address(), %error, "a Redis does not speak version 3");
            Ok(false)
        }
        Err(error) => Err(RedisError::Server(error).into()),
    }
}

fn expect_ok(answer: Result<(), ServerError>) -> Result {
    answer.map_err(|error| RedisError::Server(error).into())
}

async fn ask(redis: &mut Framed<Replies>, arguments: &[&str]) -> Result<Result<(), ServerError>> {
    redis.send(arguments).await?;
    loop {
        return match redis.next().await? {
            Some(Value::Push(_)) => continue,
            Some(Value::Error(line)) => Ok(Err(ServerError::new(line))),
            Some(_) => Ok(Ok(())),
            None => Err(Error::Protocol(ProtocolError::Truncated { received: 0 })),
        };
    }
}
