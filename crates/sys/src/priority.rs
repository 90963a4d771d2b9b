//! How a thread shares the processors with others.

use std::io;

/// From here on this thread works in the background: it has its fair share, but displaces nobody who has just woken up.
pub fn work_in_background() -> io::Result<()> {
    // The kernel's `sched_param`. Of the C libraries, musl has a longer one, and a call that always fails.
    let priority: libc::c_int = 0;
    // SAFETY: the kernel reads one number, which lives across the call; the first 0 is the calling thread.
    let done = unsafe { libc::syscall(libc::SYS_sched_setscheduler, 0, libc::SCHED_BATCH, &raw const priority) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_can_step_back() {
        std::thread::spawn(|| {
            work_in_background().unwrap();
            let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
            // The 41st field; the second one may hold spaces.
            let policy = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(38);
            assert_eq!(policy, Some("3"), "SCHED_BATCH");
        })
        .join()
        .unwrap();
    }
}
