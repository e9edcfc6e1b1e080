//! The demo and the SDK are embedded at compile time: build again when they were built.

fn main() {
    for folder in ["../web-demo/app/dist", "../web-demo/sdk/dist"] {
        println!("cargo::rerun-if-changed={folder}");
    }
}
