//! The command `aiplatctl`. Everything is in the library.

fn main() -> std::process::ExitCode {
    aiplatctl::main()
}
