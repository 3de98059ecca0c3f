//! A producer and its logger under s6-svscan, which holds the pipe between the two: supervised, and a bare pipe.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::{Contestant, Load, Relay};
use crate::load::{GEN, SINK};
use crate::support::Stage;

/// `gen/run | gen/log/run`
#[derive(Debug)]
pub struct S6;

impl Contestant for S6 {
    fn name(&self) -> String {
        "s6-svscan's pipe".to_owned()
    }

    fn tool(&self) -> Option<&'static str> {
        Some("s6-svscan")
    }

    fn set_up(&self, stage: &mut Stage, load: &Load) -> Result<Relay, String> {
        let services = stage.path("services");
        let producer = stage.words(GEN, "g0", &load.gen_fields());
        let logger = stage.words(SINK, "s0", &load.sink_fields());
        for (directory, words) in [("gen", producer), ("gen/log", logger)] {
            let directory = services.join(directory);
            let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
            // Once is enough: with 125 it is not started again.
            let scripts = [
                ("run", format!("#!/bin/sh\nexec {}\n", quoted.join(" "))),
                ("finish", "#!/bin/sh\nexit 125\n".to_owned()),
            ];
            let made = fs::create_dir_all(&directory).and_then(|()| {
                scripts.iter().try_for_each(|(name, text)| {
                    let path = directory.join(name);
                    fs::write(&path, text)?;
                    fs::set_permissions(path, fs::Permissions::from_mode(0o700))
                })
            });
            made.map_err(|error| format!("cannot make a service: {error}"))?;
        }
        stage.start(crate::support::quiet("s6-svscan").arg(services))?;
        Ok(Relay::Nobody)
    }
}
