//! What the examples share: their arguments, the line that says where they listen, and the handler of those that are not
//! about handlers.
#![allow(dead_code)]

use std::collections::HashMap;
use std::str::FromStr;
use tiderace::codec::Raw;
use tiderace::{Conn, Error, Handler, Result, Server};

pub struct Args {
    /// `--addr`
    pub addr: String,
    /// A server with as many cores as `--cores` says.
    pub server: Server,
    others: HashMap<&'static str, String>,
}

/// Takes `--addr`, `--cores`, and `others`, which are names with defaults.
pub fn args(addr: &str, others: &[(&'static str, &str)]) -> Result<Args> {
    let usage = || {
        println!("options, with their defaults: --addr {addr} --cores (all)");
        others.iter().for_each(|(name, default)| println!("  --{name} {default}"));
        std::process::exit(0)
    };
    let others = others.iter().map(|(name, default)| (*name, (*default).to_owned())).collect();
    let mut args = Args { addr: addr.to_owned(), server: Server::new(), others };
    let mut given = lexopt::Parser::from_env();
    while let Some(arg) = given.next()? {
        use lexopt::{Arg::Long, Arg::Short, ValueExt};
        match arg {
            Short('h') | Long("help") => usage(),
            Long("addr") => args.addr = given.value()?.parse()?,
            Long("cores") => args.server = args.server.cores(given.value()?.parse()?),
            Long(name) => match args.others.get_mut(name) {
                Some(value) => *value = given.value()?.parse()?,
                None => return Err(arg.unexpected().into()),
            },
            _ => return Err(arg.unexpected().into()),
        }
    }
    Ok(args)
}

impl Args {
    /// One of the others.
    pub fn get<T: FromStr>(&self, name: &str) -> Result<T> {
        let value = &self.others[name];
        value.parse().map_err(|_| Error::msg(format!("--{name}: {value} is not what is expected there")))
    }
}

/// Says where the server listens, and runs it.
pub fn run(server: Server) -> Result {
    for address in server.local_addrs() {
        println!("listening on {address}");
    }
    server.run()
}

/// Sends back what it receives.
pub struct Echo;

impl Handler for Echo {
    type Codec = Raw;

    async fn on_message(&mut self, conn: &mut Conn<Raw>, bytes: &[u8]) -> Result {
        conn.send(bytes).await
    }
}
