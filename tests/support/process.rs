//! A program in a process of its own.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

/// A running program whose output is read; it is killed when this is dropped.
pub struct Process {
    child: Child,
    output: BufReader<ChildStdout>,
    addresses: Vec<String>,
}

impl Process {
    /// Starts a program that says where it listens.
    pub fn start(mut command: Command) -> Process {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let output = BufReader::new(child.stdout.take().unwrap());
        Process { child, output, addresses: Vec::new() }
    }

    /// Starts an example, which `cargo test` builds.
    pub fn example(name: &str, args: &[&str]) -> Process {
        let mut path = std::env::current_exe().unwrap();
        path.pop();
        path.pop();
        let mut command = Command::new(path.join("examples").join(name));
        command.args(args);
        Process::start(command)
    }

    /// The first address that the program listens on.
    pub fn address(&mut self) -> String {
        self.nth_address(0)
    }

    pub fn nth_address(&mut self, n: usize) -> String {
        while self.addresses.len() <= n {
            let line = self.line_with("listening on ");
            self.addresses.push(line.split_whitespace().last().unwrap().to_owned());
        }
        self.addresses[n].clone()
    }

    /// The next line that contains `text`; there must be one.
    #[track_caller]
    pub fn line_with(&mut self, text: &str) -> String {
        loop {
            let mut line = String::new();
            assert!(self.output.read_line(&mut line).unwrap() > 0, "the program ended without saying {text}");
            if line.contains(text) {
                return line;
            }
        }
    }

    pub fn child(&self) -> &Child {
        &self.child
    }

    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
