//! What the kernel holds of a socket's output.

use std::os::fd::BorrowedFd;

/// How much memory the kernel needs for what the peer has not acknowledged or, of a Unix socket, not read: zero when nothing is
/// left. `None` where the system cannot tell.
#[cfg(target_os = "linux")]
pub(crate) fn unacknowledged(socket: BorrowedFd<'_>, is_unix: bool) -> Option<u32> {
    use nix::libc::{self, SK_MEMINFO_WMEM_ALLOC as SENT, SK_MEMINFO_WMEM_QUEUED as QUEUED};
    use nix::sys::socket::{GetSockOpt, sockopt::GetStruct};

    #[derive(Clone, Copy)]
    struct MemoryInfo;
    nix::getsockopt_impl!(MemoryInfo, libc::SOL_SOCKET, libc::SO_MEMINFO, [u32; 9], GetStruct<[u32; 9]>);

    let info = MemoryInfo.get(&socket).ok()?;
    // Only TCP keeps what it has sent, and what a Unix socket has sent is its own until it is read.
    Some(info[if is_unix { SENT } else { QUEUED } as usize])
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn unacknowledged(_: BorrowedFd<'_>, _: bool) -> Option<u32> {
    None
}
