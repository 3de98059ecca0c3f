//! The only unsafe code and the only raw system calls, one file a subject. Depends on nothing but `model`.
#![allow(unsafe_code)]

pub mod activation;
pub mod cgroup;
pub mod clock;
pub mod errno;
pub mod execute;
pub mod fifo;
pub mod notifications;
pub mod notify;
pub mod orphans;
pub mod parcel;
pub mod peer;
pub mod pipe;
pub mod poll;
pub mod process;
pub mod reactor;
pub mod scheduling;
pub mod shared;
pub mod watch;
