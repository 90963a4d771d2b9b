//! Repositories of the box, between three that know of them: MaskFs finds them and opens what the host has, the door says
//! whether their commits can come back, and init then offers these.

use super::Supervisor;
use super::door::Answer;
use crate::Event;
use crate::host::Repository;
use pinfold_wire::{FromMaskFs, ToInit};

impl Supervisor<'_, '_> {
    pub(super) fn hear_maskfs(&mut self) {
        let Some(maskfs) = &mut self.maskfs else { return };
        for (message, fds) in maskfs.hear() {
            self.log.maskfs(&message);
            if let (FromMaskFs::Repository { number, at }, Some(door)) = (&message, &mut self.door)
                && let Ok([git_dir, common_dir]) = <[_; 2]>::try_from(fds)
            {
                door.repository(Repository { number: *number, at: at.clone(), git_dir, common_dir });
            }
            (self.events)(Event::MaskFs(message));
        }
    }

    pub(super) fn serve_door(&mut self) {
        let Some(door) = &mut self.door else { return };
        for answer in door.answers() {
            let (known, answer) = match answer {
                Answer::Closed => continue,
                Answer::Opened { number, at, known } => {
                    if let Some(at) = at {
                        self.say(&ToInit::Repository { number, at });
                    }
                    (known, crate::GitAnswer::default())
                }
                Answer::Taken { known, answer } => (known, answer),
            };
            for chunk in known {
                self.say(&ToInit::Known(chunk));
            }
            for host in answer.host_refs {
                self.say(&ToInit::HostRef(host));
            }
            for note in answer.notes {
                (self.events)(Event::Note(note));
            }
        }
        self.tell_the_end();
    }

    /// Init is alone in the box. Whatever MaskFs has shown to it was told to us before it was shown.
    pub(super) fn end_of_repositories(&mut self) {
        self.abort_at = None;
        self.alone = true;
        self.hear_maskfs();
        self.tell_the_end();
    }

    fn tell_the_end(&mut self) {
        if self.alone && self.door.as_ref().is_some_and(|door| !door.is_opening()) {
            self.alone = false;
            self.say(&ToInit::Told);
        }
    }
}
