//! The first look at the root's `.git` waits until the box's own repository stands there.
//!
//! The repository is made while the box is being built, and making it takes longer the larger the index is. Only a command
//! that looks at `.git` should pay for that, so its look-up is held, and everything else goes on.

use std::sync::Mutex;

#[derive(Debug)]
pub struct Gate<Held> {
    state: Mutex<State<Held>>,
}

#[derive(Debug)]
struct State<Held> {
    /// The box is built: until then its builder may look up `.git` to mount over it, and must not wait.
    going: bool,
    ready: bool,
    held: Vec<Held>,
}

impl<Held> Gate<Held> {
    pub fn new() -> Self {
        Gate { state: Mutex::new(State { going: false, ready: false, held: Vec::new() }) }
    }

    /// The command starts now.
    pub fn go(&self) {
        self.state.lock().unwrap().going = true;
    }

    /// The repository is there. Returns what was held back, to be answered.
    #[must_use]
    pub fn open(&self) -> Vec<Held> {
        let mut state = self.state.lock().unwrap();
        state.ready = true;
        std::mem::take(&mut state.held)
    }

    /// `Ok`: answer now; whether the answer may be remembered. `Err(())`: it is held and will come out of [`open`](Self::open).
    ///
    /// Only the builder is ever let through early: a command is quick, and may be here before the word that it goes.
    pub fn pass(&self, builder: bool, held: impl FnOnce() -> Held) -> Result<bool, ()> {
        let mut state = self.state.lock().unwrap();
        if state.ready || (builder && !state.going) {
            return Ok(state.ready && state.going);
        }
        let held = held();
        state.held.push(held);
        Err(())
    }
}

impl<Held> Default for Gate<Held> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_builder_passes_and_the_command_waits() {
        let gate = Gate::new();
        assert_eq!(gate.pass(true, || 1), Ok(false), "set-up must not wait, and its answer must not be remembered");
        assert_eq!(gate.pass(false, || 2), Err(()), "nobody else may be early");
        gate.go();
        assert_eq!(gate.pass(false, || 3), Err(()));
        assert_eq!(gate.open(), [2, 3]);
        assert_eq!(gate.pass(false, || 4), Ok(true));
    }
}
