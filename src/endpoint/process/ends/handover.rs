//! A process's streams on their way into the daemon's next life. The pipes go there open, so the process notices nothing.

use std::io;

use serde::{Deserialize, Serialize};

use super::{Down, Exited, Present, ProcessDestination, ProcessSource};
use crate::endpoint::ends::Lent;
use crate::store::Deposit;
use crate::sys::parcel::{Parcel, Slot, Unpacking};

/// An output.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Source {
    /// Those whose pipes the relay does not have yet.
    lives: Vec<Life>,
    present: Option<Present>,
    #[serde(default)]
    deposit: Option<u64>,
    down: bool,
    down_told: bool,
    for_good: bool,
    over: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct Life {
    life: u64,
    end: Slot,
    #[serde(default)]
    deposit: Option<u64>,
    exited: Option<Exited>,
}

impl Source {
    pub(super) fn pack(of: &ProcessSource, parcel: &mut Parcel) -> io::Result<Source> {
        let mut life = |(lent, exited): &(Lent, Option<Exited>)| {
            Ok(Life {
                life: lent.life,
                end: parcel.put(&lent.end)?,
                deposit: lent.deposit.as_ref().map(Deposit::number),
                exited: exited.clone(),
            })
        };
        Ok(Source {
            lives: of.lives.iter().map(&mut life).collect::<io::Result<_>>()?,
            present: of.present.clone(),
            deposit: of.deposit.as_ref().map(Deposit::number),
            down: of.down,
            down_told: of.down_told,
            for_good: of.for_good,
            over: of.over,
        })
    }

    pub(super) fn unpack(self, into: &mut ProcessSource, parcel: &mut Unpacking) -> io::Result<()> {
        for Life {
            life,
            end,
            deposit,
            exited,
        } in self.lives
        {
            let (end, deposit) = (parcel.take(end)?, into.store.again(deposit));
            into.lives.push_back((Lent { life, end, deposit }, exited));
        }
        into.present = self.present;
        into.deposit = into.store.again(self.deposit);
        into.down = self.down;
        into.down_told = self.down_told;
        into.for_good = self.for_good;
        into.over = self.over;
        Ok(())
    }
}

/// An input.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Destination {
    /// A life, and its pipe.
    next: Option<(u64, Slot)>,
    lent: bool,
    life: Option<u64>,
    down: Option<Down>,
    unread: u64,
    counted: bool,
    over: bool,
}

impl Destination {
    pub(super) fn pack(of: &ProcessDestination, parcel: &mut Parcel) -> io::Result<Destination> {
        let mut next = |lent: &Lent| io::Result::Ok((lent.life, parcel.put(&lent.end)?));
        Ok(Destination {
            next: of.next.as_ref().map(&mut next).transpose()?,
            lent: of.lent,
            life: of.life,
            down: of.down.clone(),
            unread: of.unread,
            counted: of.counted,
            over: of.over,
        })
    }

    pub(super) fn unpack(self, into: &mut ProcessDestination, parcel: &mut Unpacking) -> io::Result<()> {
        if let Some((life, end)) = self.next {
            let end = parcel.take(end)?;
            let deposit = None;
            into.next = Some(Lent { life, end, deposit });
        }
        into.lent = self.lent;
        into.life = self.life;
        into.down = self.down;
        into.unread = self.unread;
        into.counted = self.counted;
        into.over = self.over;
        Ok(())
    }
}
