//! `gen | sink`: one pipe, nobody in between.

use std::process::Stdio;

use super::{Contestant, Ends, Load, Relay, start_sink};
use crate::load::GEN;
use crate::support::Stage;

/// A bare pipe or FIFO. With a size, the generator asks for it.
#[derive(Debug)]
pub struct Bare {
    pub size: Option<u64>,
}

impl Contestant for Bare {
    fn name(&self) -> String {
        match self.size {
            None => "bare pipe".to_owned(),
            Some(size) => format!("bare pipe of {} KiB", size / 1024),
        }
    }

    fn tool(&self) -> Option<&'static str> {
        None
    }

    fn set_up(&self, stage: &mut Stage, load: &Load) -> Result<Relay, String> {
        let (mut stdin, mut stdout) = (Stdio::null(), Stdio::null());
        let mut fifo = None;
        match load.ends {
            Ends::Processes => (stdin, stdout) = super::pipe()?,
            Ends::Fifos => fifo = Some(stage.fifo("bare")?),
        }
        start_sink(stage, load, 0, fifo.clone(), stdin)?;
        let mut fields = load.gen_fields();
        fields.extend(fifo.map(|fifo| ("to", fifo.display().to_string())));
        fields.extend(self.size.map(|size| ("pipe-size", size.to_string())));
        let words = stage.words(GEN, "g0", &fields);
        stage.generator(&words, Stdio::null(), stdout)?;
        Ok(Relay::Nobody)
    }
}
