//! The GPU adapter through its real code path: the double of NVIDIA's library is loaded as the library would be, and trees of files
//! stand for sysfs. One test for each state of the driver, and for each failure of a GPU that a host can see.

mod devices;
mod driver;
mod events;
mod hang;
mod live;
mod machine;
mod sysfs;
