//! Networks: made, joined, left, removed.

use aiplat_core::{
    ResourceId,
    action::Action,
    condition::{ErrorClass, Reason},
    observed::ContainerState,
    spec::Subnet,
};
use serde_json::json;

use crate::{
    fixture::Fixture,
    support::{apply, spec},
};

#[tokio::test]
async fn a_network_is_made_once_and_removed_once() {
    let Some(fixture) = Fixture::new() else { return };
    let id = ResourceId::network("front");
    let first = fixture.network("front").await;
    assert_eq!(fixture.network("front").await.id, first.id, "made again, it is the same one");
    assert_eq!((first.driver.as_str(), first.internal), ("bridge", false));
    assert_eq!(first.owner.unwrap().resource, id);
    let remove = Action::RemoveNetwork { id: first.id, name: first.name.clone() };
    apply(&fixture.backend, &id, remove.clone()).await.unwrap();
    apply(&fixture.backend, &id, remove).await.unwrap();
    assert_eq!(fixture.networks_named(&first.name).await, []);
}

#[tokio::test]
async fn a_container_joins_two_networks_before_its_start_and_leaves_one_while_it_runs() {
    let Some(fixture) = Fixture::new() else { return };
    let (front, back) = (fixture.network("front").await, fixture.network("back").await);
    let app = ResourceId::container("app");
    let mut create = fixture.spec("app", fixture.runtime(&["sleep"]));
    create.network = Some(spec::attachment(&front.name, &["app", "www"]));
    let id = fixture.create(create).await.unwrap();
    let attachment = spec::attachment(&back.name, &["app"]);
    let connect = Action::Connect { id: id.clone(), attachment };
    apply(&fixture.backend, &app, connect.clone()).await.unwrap();
    fixture.start("app", &id).await.unwrap();

    let seen = fixture.only("app").await.networks;
    assert_eq!(seen.len(), 2, "{seen:?}");
    assert_eq!(seen[&front.name].network_id, front.id);
    assert_eq!(seen[&front.name].aliases.as_deref(), Some(&["app".to_owned(), "www".to_owned()][..]));
    assert_eq!(seen[&back.name].aliases.as_deref(), Some(&["app".to_owned()][..]));
    assert!(seen.values().all(|endpoint| endpoint.ip.is_some()), "{seen:?}");

    let disconnect = Action::Disconnect { id: id.clone(), network: back.name.clone() };
    apply(&fixture.backend, &app, disconnect.clone()).await.unwrap();
    apply(&fixture.backend, &app, disconnect).await.unwrap();
    let left = fixture.only("app").await;
    assert_eq!((left.state, left.networks.len()), (ContainerState::Running, 1));
    apply(&fixture.backend, &app, connect).await.unwrap();
    assert_eq!(fixture.only("app").await.networks.len(), 2);
}

#[tokio::test]
async fn a_container_without_a_network_joins_one_later() {
    let Some(fixture) = Fixture::new() else { return };
    let front = fixture.network("front").await;
    let app = ResourceId::container("app");
    let id = fixture.create(fixture.spec("app", fixture.runtime(&["sleep"]))).await.unwrap();
    assert!(fixture.only("app").await.networks.is_empty());
    assert_eq!(fixture.inspect(&id.0)["HostConfig"]["NetworkMode"], "none");
    let attachment = spec::attachment(&front.name, &["app"]);
    apply(&fixture.backend, &app, Action::Connect { id: id.clone(), attachment }).await.unwrap();
    fixture.start("app", &id).await.unwrap();
    let seen = fixture.only("app").await.networks;
    assert!(seen.len() == 1 && seen[&front.name].ip.is_some(), "{seen:?}");
}

#[tokio::test]
async fn a_fixed_address_is_kept() {
    let Some(fixture) = Fixture::new() else { return };
    let (id, name) = (ResourceId::network("fixed"), fixture.name("fixed"));
    let subnet = format!(
        "10.{}.{}.0/24",
        200 + u8::from_str_radix(&fixture.prefix[4..5], 16).unwrap(),
        u8::from_str_radix(&fixture.prefix[5..7], 16).unwrap()
    );
    let address = subnet.replace(".0/24", ".77");
    let mut network = spec::network(&name);
    network.subnets = vec![Subnet {
        subnet,
        gateway: None,
        ip_range: None,
        aux_addresses: std::collections::BTreeMap::new(),
    }];
    let labels = spec::labels(&fixture.instance, id.clone());
    apply(&fixture.backend, &id, Action::CreateNetwork { labels, spec: network }).await.unwrap();
    let mut create = fixture.spec("app", fixture.runtime(&["sleep"]));
    let mut attachment = spec::attachment(&name, &["app"]);
    attachment.ipv4_address = Some(address.clone());
    create.network = Some(attachment);
    let container = fixture.create(create).await.unwrap();
    fixture.start("app", &container).await.unwrap();
    assert_eq!(fixture.only("app").await.networks[&name].ip.unwrap().to_string(), address);
}

#[tokio::test]
async fn a_network_that_a_stopped_container_names_is_not_removed() {
    let Some(fixture) = Fixture::new() else { return };
    let front = fixture.network("front").await;
    // Never started: the engine itself would let its network go.
    let foreign = fixture.name("foreign");
    fixture.foreign(
        &foreign,
        &json!({"com.docker.compose.project": "theirs"}),
        &json!({"NetworkMode": front.name}),
    );
    let remove = Action::RemoveNetwork { id: front.id, name: front.name.clone() };
    let error = apply(&fixture.backend, &ResourceId::network("front"), remove).await.unwrap_err();
    assert_eq!((error.class, error.reason), (ErrorClass::Changed, Reason::InUse));
    assert!(error.message.contains(&foreign) && error.message.contains("`theirs`"), "{error}");
    assert_eq!(fixture.networks_named(&front.name).await.len(), 1);
}

#[tokio::test]
async fn a_network_that_is_gone_at_the_start_is_a_reason_to_look_again() {
    let Some(fixture) = Fixture::new() else { return };
    let mut create = fixture.spec("app", fixture.runtime(&["sleep"]));
    create.network = Some(spec::attachment(&fixture.name("nothing"), &["app"]));
    let id = fixture.create(create).await.unwrap();
    let error = fixture.start("app", &id).await.unwrap_err();
    assert_eq!((error.class, error.reason), (ErrorClass::Changed, Reason::Missing), "{error}");
    let seen = fixture.only("app").await;
    assert_eq!(seen.state, ContainerState::Created);
    assert!(seen.detail.unwrap().error.contains("not found"));
}
