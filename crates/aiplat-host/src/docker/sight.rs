//! Whether a container reaches its GPUs: `nvidia-smi -L` inside it, which NVIDIA's tools put into every container that they give a
//! GPU to. Only a process in there is under the rules of the container's control group.

use std::time::Duration;

use aiplat_core::observed::{ContainerId, Sight};

use super::DockerBackend;

impl DockerBackend {
    pub(super) async fn look_for_gpus(&self, container: &ContainerId, timeout: Duration) -> Sight {
        let argv = ["nvidia-smi".to_owned(), "-L".to_owned()];
        judge(self.exec(container, &argv, timeout).await)
    }
}

/// What the transcript of `nvidia-smi -L` tells.
fn judge(said: Result<String, String>) -> Sight {
    let (passed, said) = match said {
        Ok(said) => (true, said),
        Err(said) => (false, said),
    };
    // It lists GPUs, and slices below them, each with its UUID.
    let listed = said.matches("(UUID: ").count();
    let lower = said.to_ascii_lowercase();
    let words =
        said.rsplit(": exit ").next().and_then(|end| end.split_once(": ")).map_or(said.as_str(), |it| it.1);
    if passed && listed > 0 {
        Sight::Sees(listed)
    } else if passed
        || lower.contains("no devices were found")
        || lower.contains("failed to initialize nvml: unknown error")
    {
        Sight::Blind(if passed { "nvidia-smi lists no GPU".to_owned() } else { words.to_owned() })
    } else {
        // Not installed in there, a driver of another version, a look that took too long: none of these is blindness.
        Sight::Untried(said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nvidia_says_of_a_container_without_its_devices_is_blindness() {
        let smi = |end: &str| format!("exec nvidia-smi -L: {end}");
        let gpu = "exit 0: GPU 0: NVIDIA GeForce RTX 3060 (UUID: GPU-8f3a1c2e-1111-2222-3333-444455556666)";
        assert_eq!(judge(Ok(smi(gpu))), Sight::Sees(1));
        assert_eq!(judge(Ok(smi("exit 0"))), Sight::Blind("nvidia-smi lists no GPU".to_owned()));
        assert_eq!(
            judge(Err(smi("exit 255: Failed to initialize NVML: Unknown Error"))),
            Sight::Blind("Failed to initialize NVML: Unknown Error".to_owned())
        );
        assert_eq!(
            judge(Err(smi("exit 6: No devices were found"))),
            Sight::Blind("No devices were found".to_owned())
        );
        for other in [
            "exit 18: Failed to initialize NVML: Driver/library version mismatch",
            "exit 127: OCI runtime exec failed: exec: \"nvidia-smi\": executable file not found in $PATH: unknown",
            "timed out after 10s; killed",
        ] {
            assert_eq!(judge(Err(smi(other))), Sight::Untried(smi(other)));
        }
    }
}
