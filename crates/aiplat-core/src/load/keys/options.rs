//! Mappings among the rarer keys of a service.

use super::{
    Grammar::{self, Anything, Duration, Either, Flag, Integer, List, Named, Scalar, Size, Text},
    LIST_OR_MAP, STRINGS, Shape, ignored, key,
};

/// A whole number of microseconds, or a duration.
pub(super) const MICROSECONDS: Grammar = Either(&[Integer, Duration]);

pub(in crate::load) static ULIMIT: Shape = Shape {
    name: "an entry of `ulimits`",
    keys: &[
        key("soft", "What is in force; -1 is none.", Integer),
        key("hard", "How far the process may raise it; -1 is none.", Integer),
    ],
};

pub(in crate::load) static LOGGING: Shape = Shape {
    name: "`logging`",
    keys: &[
        key(
            "driver",
            "The engine's driver, as in `json-file` or `journald`; absent: the engine's default.",
            Text,
        ),
        key("options", "Options of the driver, as in `max-size: 10m`.", Named(&Anything)),
    ],
};

pub(in crate::load) static DEVICE: Shape = Shape {
    name: "an entry of `devices`",
    keys: &[
        key("source", "The device file of the host.", Text),
        key("target", "Where it is in the container; absent: at the same place.", Text),
        key("permissions", "Of `r`, `w` and `m` (make). Default `rwm`.", Text),
    ],
};

pub(in crate::load) static GPU: Shape = Shape {
    name: "an entry of `gpus`",
    keys: &[
        key("driver", "The engine's driver, as in `nvidia`; absent: whichever has the capabilities.", Text),
        key("count", "How many, or `all`. Default all.", Scalar),
        key("device_ids", "These very ones, by index or UUID, instead of `count`.", STRINGS),
        key("capabilities", "What the driver must offer besides `gpu`, as in `compute`.", STRINGS),
        key("options", "Options of the driver.", LIST_OR_MAP),
        key(
            "min_vram",
            "The least memory of a GPU, as in `8GiB`. A sixteenth less will do: a card of \"8 GB\" has a little less than 8 GiB.",
            Size,
        ),
        key("min_compute_capability", "The least compute capability, as in `8.0`.", Scalar),
        key("min_driver", "The oldest driver, as in `550` or `550.54.15`.", Scalar),
        key(
            "vram",
            "What the service takes of the memory of each GPU that it gets: with less free it waits, and says who has it.",
            Size,
        ),
        key("optional", "Start without a GPU where none can be had. Default false.", Flag),
    ],
};

pub(in crate::load) static RESERVED_DEVICE: Shape = Shape {
    name: "an entry of `devices`",
    keys: &[
        key("driver", "The engine's driver, as in `nvidia`; absent: whichever has the capabilities.", Text),
        key("count", "How many, or `all`. Default all.", Scalar),
        key("device_ids", "These very ones, by index or UUID, instead of `count`.", STRINGS),
        key("capabilities", "What the driver must offer, as in `[gpu]`.", STRINGS),
        key("options", "Options of the driver.", LIST_OR_MAP),
    ],
};

pub(in crate::load) static RESERVATIONS: Shape = Shape {
    name: "`reservations`",
    keys: &[
        key("memory", "What it keeps when the machine is short of memory.", Size),
        key("devices", "Devices of a driver: GPUs.", List(&Grammar::Shape(&RESERVED_DEVICE))),
        ignored("cpus", "one machine reserves no CPUs; `cpu_shares` weighs services against each other"),
        ignored("generic_resources", "it means something to Swarm only"),
    ],
};

pub(in crate::load) static BLKIO: Shape = Shape {
    name: "`blkio_config`",
    keys: &[
        key("weight", "10 to 1000, against the others; the kernel's default is 500.", Integer),
        key("weight_device", "The same, for one device.", List(&Grammar::Shape(&BLKIO_WEIGHT))),
        key(
            "device_read_bps",
            "The most bytes read in a second, by device.",
            List(&Grammar::Shape(&BLKIO_RATE)),
        ),
        key(
            "device_write_bps",
            "The most bytes written in a second, by device.",
            List(&Grammar::Shape(&BLKIO_RATE)),
        ),
        key("device_read_iops", "The most reads in a second, by device.", List(&Grammar::Shape(&BLKIO_RATE))),
        key(
            "device_write_iops",
            "The most writes in a second, by device.",
            List(&Grammar::Shape(&BLKIO_RATE)),
        ),
    ],
};

pub(in crate::load) static BLKIO_RATE: Shape = Shape {
    name: "a rate of `blkio_config`",
    keys: &[
        key("path", "The device file.", Text),
        key("rate", "In a second; bytes as in `50m`.", Either(&[Integer, Size])),
    ],
};

pub(in crate::load) static BLKIO_WEIGHT: Shape = Shape {
    name: "a weight of `blkio_config`",
    keys: &[key("path", "The device file.", Text), key("weight", "10 to 1000.", Integer)],
};
