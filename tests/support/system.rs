//! What the system says of processes. Linux only.

use std::fs;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Trials that measure their own process take turns.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Allows this process, and those that it starts, as many descriptors as it may have; says how many that is.
pub fn descriptor_limit() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    getrlimit(Resource::Nofile).current.map_or(usize::MAX, |limit| limit as usize)
}

/// How many connections a trial of `wanted` has where both ends are in this process, or one is.
pub fn connections(wanted: usize, ends: usize) -> usize {
    wanted.min((descriptor_limit() - 200) / ends)
}

/// The resident memory of a process, in bytes.
pub fn resident(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    1024 * line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
}

/// The processor time that a process has used, in ticks of 10 milliseconds (proc(5); `USER_HZ` is 100).
pub fn ticks(process: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // The name of the program, in brackets, may contain anything; the 14th and 15th fields are behind it.
    let fields = stat.rsplit_once(") ").unwrap().1.split(' ').skip(11).take(2);
    fields.map(|field| field.parse::<u64>().unwrap()).sum()
}

/// Runs a test again, in a process of its own whose memory is that of this test alone. Says whether this is that process.
pub fn is_own_process(name: &str) -> bool {
    const MARK: &str = "TIDERACE_OWN_PROCESS";
    if std::env::var_os(MARK).is_some() {
        return true;
    }
    let mut again = std::process::Command::new(std::env::current_exe().unwrap());
    let again = again.args(["--exact", name, "--test-threads", "1"]).env(MARK, "1").output().unwrap();
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stdout));
    false
}
