//! Talks to a Redis: sends the commands that stand on the lines of its input, and prints the replies; or listens to a channel.
//!
//!     cargo run --release --example redis_client --features resp -- [--url URL] [--listen CHANNEL]
//!
//! The URL is `redis://127.0.0.1:6380` unless told otherwise, where the example `redis` is. `echo SET greeting hello | cargo run ..`:
//!
//!     OK

use std::io::BufRead;
use tiderace::redis::{Redis, RedisError};
use tiderace::{Result, block_on};

async fn ask(redis: &Redis) -> Result {
    // To read a line blocks this thread, and with it the core. That is fine here, because it has nothing else to do.
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        if words.is_empty() {
            continue;
        }
        match redis.command(&words).await {
            Ok(answer) => println!("{:?}", Shown(&answer)),
            Err(RedisError::Server(error)) => println!("refused: {error}"),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Texts are bytes, and shown as texts.
struct Shown<'a>(&'a tiderace::redis::Answer);

impl std::fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.value().as_str() {
            Some(text) => write!(f, "{text}"),
            None => write!(f, "{:?}", self.0),
        }
    }
}

async fn listen(redis: &Redis, channel: &str) -> Result {
    let mut messages = redis.subscribe(channel).await?;
    println!("listening to {channel}");
    while let Some(message) = messages.next().await {
        println!("{}", String::from_utf8_lossy(message.payload()));
        let (missed, gaps) = (messages.missed(), messages.gaps());
        if missed + gaps > 0 {
            println!("({missed} messages were too many, and the connection was made again {gaps} times)");
        }
    }
    Ok(())
}

fn main() -> Result {
    let (mut url, mut channel) = ("redis://127.0.0.1:6380".to_owned(), None);
    let mut args = lexopt::Parser::from_env();
    while let Some(arg) = args.next()? {
        use lexopt::{Arg::Long, ValueExt};
        match arg {
            Long("url") => url = args.value()?.parse()?,
            Long("listen") => channel = Some(args.value()?.parse::<String>()?),
            Long("help") => {
                println!("options: --url {url} --listen CHANNEL");
                return Ok(());
            }
            _ => return Err(arg.unexpected().into()),
        }
    }
    block_on(async {
        let redis = Redis::connect(&url).await?;
        match channel {
            Some(channel) => listen(&redis, &channel).await,
            None => ask(&redis).await,
        }
    })
}
