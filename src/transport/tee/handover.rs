//! Staging pipes on their way to the daemon's next life.

use std::io;

use serde::{Deserialize, Serialize};

use super::keeping::SavedKeeping;
use super::{Lane, Staging, Tee};
use crate::store::Kept;
use crate::sys::parcel::{Parcel, Slot, Unpacking};

/// A staging pipe on its way to the daemon's next life.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct SavedLane {
    read: Slot,
    write: Slot,
    capacity: u64,
    bytes: u64,
    ahead: u64,
    #[serde(default)]
    deposit: Option<u64>,
}

/// All staging pipes on their way to the daemon's next life.
#[derive(Debug, Serialize, Deserialize)]
pub struct SavedTee {
    lanes: Vec<Option<SavedLane>>,
    #[serde(default)]
    keeping: Option<SavedKeeping>,
}

impl Staging {
    fn pack(&self, parcel: &mut Parcel) -> io::Result<SavedLane> {
        Ok(SavedLane {
            read: parcel.put(&self.read)?,
            write: parcel.put(&self.write)?,
            capacity: self.capacity,
            bytes: self.bytes,
            ahead: self.ahead,
            deposit: self.number(),
        })
    }

    fn unpack(saved: &SavedLane, parcel: &mut Unpacking) -> io::Result<Staging> {
        Ok(Staging {
            read: parcel.take(saved.read)?,
            write: parcel.take(saved.write)?,
            capacity: saved.capacity,
            bytes: saved.bytes,
            ahead: saved.ahead,
            kept: Kept::No,
        })
    }
}

impl Tee {
    /// The staging pipes, for the daemon's next life. To be called when no round is pending.
    pub fn pack(&self, parcel: &mut Parcel) -> io::Result<SavedTee> {
        let keeping = self.keeping.as_ref().map(|keeping| keeping.pack(parcel)).transpose()?;
        let lane = |lane: &Lane| lane.staging.as_ref().map(|staging| staging.pack(parcel)).transpose();
        let lanes = self.lanes.iter().map(lane).collect::<io::Result<_>>()?;
        Ok(SavedTee { lanes, keeping })
    }

    /// Takes the staging pipes back.
    pub fn unpack(&mut self, saved: SavedTee, parcel: &mut Unpacking) -> io::Result<()> {
        if let (Some(keeping), Some(saved)) = (&mut self.keeping, &saved.keeping) {
            keeping.unpack(saved, parcel)?;
        }
        for (i, saved) in saved.lanes.into_iter().enumerate().take(self.lanes.len()) {
            let Some(saved) = saved else { continue };
            let mut staging = Staging::unpack(&saved, parcel)?;
            if let Some(keeping) = &self.keeping {
                keeping.again(i, saved.deposit, &mut staging);
            }
            self.lanes[i].staging = Some(staging);
        }
        Ok(())
    }
}
