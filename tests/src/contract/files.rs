//! What the daemon relies on of the files that it writes: the same for the model and for a disk.

use aiplat_core::{
    ResourceId,
    action::{Action, WriteFile},
    condition::ErrorClass,
    observed::ObservedFile,
    spec::{Content, ContentHash, FileSpec},
};
use aiplat_host::{FileHost, HostError};

/// A host under contract, and a person at its disk.
pub struct Place<'a> {
    /// The port.
    pub files: &'a dyn FileHost,
    /// A path that is nobody's yet.
    pub path: String,
    /// Somebody writes these bytes there.
    pub by_hand: &'a dyn Fn(&str, &[u8]),
}

impl Place<'_> {
    fn spec(&self, text: &str, mode: u32) -> FileSpec {
        FileSpec {
            config: "app".to_owned(),
            path: self.path.clone(),
            content: Content::new(text.as_bytes()),
            mode,
            uid: None,
            gid: None,
        }
    }

    async fn write(&self, text: &str, mode: u32, over: Option<&str>) -> Result<(), HostError> {
        let action =
            Action::WriteFile(Box::new(WriteFile { spec: self.spec(text, mode), over: over.map(hash) }));
        self.files.apply(&ResourceId::file("app"), &action).await
    }

    async fn remove(&self, text: &str) -> Result<(), HostError> {
        let action = Action::RemoveFile { path: self.path.clone(), content: hash(text) };
        self.files.apply(&ResourceId::file("app"), &action).await
    }

    /// Text and mode of what is there.
    async fn seen(&self) -> Option<(String, u32)> {
        match self.files.observe(&self.path).await.expect("it can be looked at") {
            ObservedFile::Present { content, mode, .. } => {
                Some((String::from_utf8_lossy(content.bytes()).into_owned(), mode))
            }
            ObservedFile::Absent => None,
            ObservedFile::Obstructed { what } => panic!("{what} is in the place"),
        }
    }
}

fn hash(text: &str) -> ContentHash {
    Content::new(text.as_bytes()).hash().clone()
}

fn is_changed(result: &Result<(), HostError>) -> bool {
    result.as_ref().is_err_and(|error| error.class == ErrorClass::Changed)
}

/// All of it, in one life of a file. Panics where something does not hold.
pub async fn holds(place: &Place<'_>) {
    assert_eq!(place.seen().await, None);
    let seen = |text: &str, mode: u32| Some((text.to_owned(), mode));
    place.write("a", 0o444, None).await.expect("what is absent is written");
    assert_eq!(place.seen().await, seen("a", 0o444));
    place.write("a", 0o444, None).await.expect("what is there already is a success");
    place.write("b", 0o400, Some("a")).await.expect("what was seen is replaced");
    assert_eq!(place.seen().await, seen("b", 0o400));
    place.write("b", 0o444, Some("b")).await.expect("permissions alone are put right");
    assert_eq!(place.seen().await, seen("b", 0o444));

    (place.by_hand)(&place.path, b"by hand");
    for over in [None, Some("b")] {
        assert!(is_changed(&place.write("c", 0o444, over).await), "what has come since is not overwritten");
    }
    assert!(is_changed(&place.remove("b").await), "nor removed");
    assert_eq!(place.seen().await.map(|(text, _)| text).as_deref(), Some("by hand"));
    place.write("c", 0o444, Some("by hand")).await.expect("it was seen");
    place.remove("c").await.expect("what was seen is removed");
    place.remove("c").await.expect("what is gone is a success");
    assert_eq!(place.seen().await, None);
    assert!(is_changed(&place.write("d", 0o444, Some("c")).await), "what was to be replaced is gone");
}
