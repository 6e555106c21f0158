//! The installed package on a machine of its own: Debian with systemd, its bus and a Docker Engine, in one container.
//!
//! `cargo xtask test --only host` makes that machine's image and the packages, and runs these. Where they are missing the
//! tests say so and pass, unless `AIPLAT_ENGINE_TESTS=required`.

mod harness;
mod install;
mod moving_in;
mod own_units;
mod power;
mod removal;
mod unit;
mod units;
mod upgrade;

/// `db`, `api` that needs it, `web` that needs `api`, and `alone`, which is reached inside its network namespace only.
const PLATFORM: &str = r#"
apiVersion: aiplat/v1
name: demo
volumes: {data: {}}
services:
  db:
    image: aiplat-demo:1
    command: [serve, NAME=db, TCP_PORT=5432, READY_AFTER=200, WRITE_FILE=/data/starts]
    volumes: ["data:/data"]
    healthcheck: {tcp: {port: 5432}, interval: 2s}
  api:
    image: aiplat-demo:1
    command: [serve, NAME=api, READY_AFTER=200, "UPSTREAMS=db:5432"]
    depends_on: {db: {condition: service_healthy, restart: true}}
    healthcheck: {http: {port: 8080, path: /ready}, interval: 2s}
  web:
    image: aiplat-demo:1
    command: [serve, NAME=web, READY_AFTER=200, "UPSTREAMS=api:8080"]
    ports: ["3000:8080"]
    depends_on: {api: {condition: service_healthy}}
    healthcheck: {http: {port: 8080, path: /ready}, interval: 2s}
  alone:
    image: aiplat-demo:1
    command: [serve, NAME=alone]
    network_mode: none
    healthcheck: {http: {port: 8080, path: /ready}, interval: 2s}
"#;
