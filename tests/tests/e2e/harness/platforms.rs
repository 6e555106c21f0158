//! Files that more than one test starts from.

/// `web`, which has one of everything that an edit can change, and `other`, which no edit touches.
pub(crate) const WEB_AND_OTHER: &str = r#"
apiVersion: aiplat/v1
name: @name
networks: {default: {}, side: {}}
services:
  web:
    image: aiplat-demo:1
    command: ["serve", "READY_AFTER=400"]
    environment: {VALUE: a}
    labels: {team: a}
    ports: ["@port1:8080"]
    networks: [default]
    deploy: {resources: {limits: {memory: 64m}}}
    healthcheck: {http: {port: 8080, path: /ready}, interval: 5s}
  other:
    image: aiplat-demo:1
    command: ["serve"]
    networks: [default, side]
"#;

/// `web` needs `db`, and does not follow it.
pub(crate) const DB_AND_WEB: &str = r#"
apiVersion: aiplat/v1
name: @name
services:
  db:
    image: aiplat-demo:1
    command: ["serve"]
    healthcheck: {http: {port: 8080, path: /ready}}
  web:
    image: aiplat-demo:1
    command: ["serve"]
    depends_on: {db: {condition: service_healthy}}
    healthcheck: {http: {port: 8080, path: /ready}}
"#;
