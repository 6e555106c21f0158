//! Images that are known well enough to say something about them.

/// What is known of an image, whoever packs it.
pub(super) struct Family {
    /// The last word of its name, or the last two.
    names: &'static [&'static str],
    /// It keeps the data of others: nobody but they should reach it.
    pub(super) is_backend: bool,
    /// The port that it listens on.
    pub(super) port: Option<u16>,
    /// Variables for which it reads a file too, with the name of that variable.
    pub(super) from_file: &'static [(&'static str, &'static str)],
}

const POSTGRES: &[(&str, &str)] = &[("POSTGRES_PASSWORD", "POSTGRES_PASSWORD_FILE")];
const MYSQL: &[(&str, &str)] = &[
    ("MYSQL_ROOT_PASSWORD", "MYSQL_ROOT_PASSWORD_FILE"),
    ("MYSQL_PASSWORD", "MYSQL_PASSWORD_FILE"),
    ("MARIADB_ROOT_PASSWORD", "MARIADB_ROOT_PASSWORD_FILE"),
    ("MARIADB_PASSWORD", "MARIADB_PASSWORD_FILE"),
];

const fn backend(names: &'static [&'static str], port: u16) -> Family {
    Family { names, is_backend: true, port: Some(port), from_file: &[] }
}

const fn app(names: &'static [&'static str], from_file: &'static [(&'static str, &'static str)]) -> Family {
    Family { names, is_backend: false, port: None, from_file }
}

static FAMILIES: [Family; 22] = [
    Family {
        from_file: POSTGRES,
        ..backend(&["postgres", "postgis", "pgvector", "pgvecto-rs", "timescaledb"], 5432)
    },
    Family { from_file: MYSQL, ..backend(&["mysql", "mariadb"], 3306) },
    Family {
        from_file: &[("MONGO_INITDB_ROOT_PASSWORD", "MONGO_INITDB_ROOT_PASSWORD_FILE")],
        ..backend(&["mongo"], 27017)
    },
    backend(&["redis", "redis-stack-server", "valkey", "keydb", "dragonfly"], 6379),
    backend(&["memcached"], 11211),
    backend(&["qdrant"], 6333),
    backend(&["weaviate"], 8080),
    backend(&["milvus"], 19530),
    backend(&["elasticsearch", "opensearch"], 9200),
    backend(&["etcd"], 2379),
    backend(&["clickhouse", "clickhouse-server"], 8123),
    backend(&["neo4j"], 7687),
    backend(&["rabbitmq"], 5672),
    backend(&["influxdb"], 8086),
    Family { port: Some(11434), ..app(&["ollama"], &[]) },
    app(&["grafana"], &[("GF_SECURITY_ADMIN_PASSWORD", "GF_SECURITY_ADMIN_PASSWORD__FILE")]),
    app(
        &["n8n"],
        &[
            ("N8N_ENCRYPTION_KEY", "N8N_ENCRYPTION_KEY_FILE"),
            ("DB_POSTGRESDB_PASSWORD", "DB_POSTGRESDB_PASSWORD_FILE"),
        ],
    ),
    app(
        &["nextcloud"],
        &[
            ("MYSQL_PASSWORD", "MYSQL_PASSWORD_FILE"),
            ("POSTGRES_PASSWORD", "POSTGRES_PASSWORD_FILE"),
            ("NEXTCLOUD_ADMIN_PASSWORD", "NEXTCLOUD_ADMIN_PASSWORD_FILE"),
        ],
    ),
    app(&["minio"], &[("MINIO_ROOT_PASSWORD", "MINIO_ROOT_PASSWORD_FILE")]),
    app(&["pgadmin4"], &[("PGADMIN_DEFAULT_PASSWORD", "PGADMIN_DEFAULT_PASSWORD_FILE")]),
    app(&["vaultwarden/server"], &[("ADMIN_TOKEN", "ADMIN_TOKEN_FILE")]),
    app(
        &["paperless-ngx"],
        &[
            ("PAPERLESS_DBPASS", "PAPERLESS_DBPASS_FILE"),
            ("PAPERLESS_SECRET_KEY", "PAPERLESS_SECRET_KEY_FILE"),
        ],
    ),
];

/// The family of an image reference.
pub(super) fn family(image: &str) -> Option<&'static Family> {
    let name = image.split('@').next().unwrap_or_default();
    let path_start = name.rfind('/').map_or(0, |slash| slash + 1);
    let name = name[path_start..].find(':').map_or(name, |colon| &name[..path_start + colon]);
    let is =
        |known: &&str| name.strip_suffix(known).is_some_and(|rest| rest.is_empty() || rest.ends_with('/'));
    FAMILIES.iter().find(|family| family.names.iter().any(is))
}
