//! The box's own terminal. The caller's never enters: a program that types into this one reaches nobody outside.

use super::config::InitConfig;
use super::tell;
use pinfold_sys::channel::Channel;
use pinfold_wire::FromInit;
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use rustix::termios::{InputModes, OptionalActions, Winsize, tcgetattr, tcsetattr, tcsetwinsize};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// Makes it if the plan has one: init becomes the leader of its session, the supervisor gets the other side.
pub(super) fn make(config: &InitConfig, control: &Channel) -> io::Result<Option<OwnedFd>> {
    if !config.exec.streams.any_terminal() {
        return Ok(None);
    }
    let master = rustix::fs::open("/dev/pts/ptmx", OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
    unlockpt(&master)?;
    let slave = ioctl_tiocgptpeer(&master, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    let [rows, columns, x, y] = config.size;
    tcsetwinsize(&slave, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: x, ws_ypixel: y })?;
    let mut modes = tcgetattr(&slave)?;
    // Erasing a character means erasing all its bytes.
    modes.input_modes |= InputModes::IUTF8;
    tcsetattr(&slave, OptionalActions::Now, &modes)?;
    rustix::process::ioctl_tiocsctty(&slave)?;
    tell(control, &FromInit::Terminal, &[master.as_fd()])?;
    Ok(Some(slave))
}
