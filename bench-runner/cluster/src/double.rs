//! A server that speaks the API over HTTP, in memory: for tests.
//!
//! It keeps what is applied, checks every object against the typed schema, lets pods come up as it was told, tells
//! watchers, forwards ports to addresses of this machine, removes what an owner owned, and notes every request with
//! the verb and resource that a real server's authorizer would see.
//!
//! - `place`: which object a path names
//! - `schema`: whether an object has fields that its kind doesn't know
//! - `forward`: port-forward over a WebSocket

mod forward;
mod place;
mod schema;

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

use self::place::{Place, query};
pub use self::schema::Offers;

/// Where every gateway takes requests, on port 80: on loopback, so that tests can answer there.
pub const GATEWAY_ADDRESS: &str = "127.97.0.1";

/// What answers are made of.
type Body = UnsyncBoxBody<Bytes, Infallible>;

/// How pods come up, by their name: what becomes of their status.
pub type Life = Box<dyn Fn(&str, &Value) -> Value + Send + Sync>;

/// A server of the API.
#[derive(Clone)]
pub struct Double(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// Counts changes, so that watchers look again.
    changes: watch::Sender<u64>,
    /// Whether the server is down.
    outage: watch::Sender<bool>,
    life: Life,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<Place, Value>,
    /// Changes by their version, for watchers.
    events: Vec<(u64, &'static str, Place, Value)>,
    version: u64,
    requests: BTreeSet<(String, String)>,
    denied: BTreeSet<(String, String)>,
    /// All that is allowed; `None` allows everything that isn't denied.
    granted: Option<BTreeSet<(String, String)>>,
    logs: BTreeMap<String, String>,
    faults: Vec<String>,
    ports: BTreeMap<(String, u16), SocketAddr>,
    offers: Offers,
    /// Names of objects that are not admitted, and what is said of them.
    refused: BTreeMap<String, String>,
}

impl std::fmt::Debug for Double {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Double")
    }
}

impl Double {
    /// Starts a server on loopback, in the runtime that this is called in.
    ///
    /// # Errors
    ///
    /// When there is no port.
    pub async fn start(life: Life) -> std::io::Result<(Self, SocketAddr)> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let double = Self(Arc::new(Shared {
            state: Mutex::default(),
            changes: watch::Sender::new(0),
            outage: watch::Sender::new(false),
            life,
        }));
        let serving = double.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if *serving.0.outage.borrow() {
                    // Not even one request that has come with the connection is answered.
                    continue;
                }
                let double = serving.clone();
                let down = double.down();
                tokio::spawn(async move {
                    let answer = service_fn(move |request| {
                        let double = double.clone();
                        async move { Ok::<_, Infallible>(double.answer(request).await) }
                    });
                    let http = hyper::server::conn::http1::Builder::new();
                    let connection = http.serve_connection(TokioIo::new(stream), answer);
                    tokio::select! {
                        // A client that goes away is no fault.
                        _ = connection.with_upgrades() => {}
                        () = down => {}
                    }
                });
            }
        });
        Ok((double, address))
    }

    /// Puts an object into the server, as somebody else would.
    pub fn put(&self, plural: &str, object: Value) {
        let text = |pointer: &str| {
            let found = object.pointer(pointer).and_then(Value::as_str);
            found.unwrap_or_default().to_owned()
        };
        let place = Place {
            group: text("/apiVersion")
                .split_once('/')
                .map_or(String::new(), |(group, _)| group.to_owned()),
            plural: plural.to_owned(),
            namespace: text("/metadata/namespace"),
            name: text("/metadata/name"),
        };
        self.state().store(place, object);
        self.changed();
    }

    /// Refuses a verb on a resource from now on.
    pub fn deny(&self, verb: &str, resource: &str) {
        self.state()
            .denied
            .insert((verb.to_owned(), resource.to_owned()));
    }

    /// Refuses to take in an object of this name from now on, as a quota or an admission controller does.
    pub fn refuse(&self, name: &str, says: &str) {
        self.state()
            .refused
            .insert(name.to_owned(), says.to_owned());
    }

    /// Has a cluster with other abilities from now on.
    pub fn offer(&self, offers: Offers) {
        self.state().offers = offers;
    }

    /// Goes down, with all its connections, or comes back with everything that it had.
    pub fn outage(&self, down: bool) {
        self.0.outage.send_replace(down);
    }

    /// Ends once the server is down.
    fn down(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut outage = self.0.outage.subscribe();
        async move {
            // The server itself keeps the other end.
            let _ = outage.wait_for(|down| *down).await;
        }
    }

    /// Refuses all from now on but these verbs on these resources.
    pub fn grant_only(&self, granted: BTreeSet<(String, String)>) {
        self.state().granted = Some(granted);
    }

    /// Says what a pod has printed.
    pub fn log(&self, pod: &str, text: &str) {
        self.state().logs.insert(pod.to_owned(), text.to_owned());
    }

    /// Forwards a pod's port to an address of this machine.
    pub fn forward(&self, pod: &str, port: u16, to: SocketAddr) {
        self.state().ports.insert((pod.to_owned(), port), to);
    }

    /// Removes a pod, as somebody else would.
    pub fn remove_pod(&self, namespace: &str, name: &str) {
        let place = Place {
            group: String::new(),
            plural: "pods".to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        };
        self.state().remove(&place);
        self.changed();
    }

    /// Returns the names of all objects of a kind.
    #[must_use]
    pub fn names(&self, plural: &str) -> Vec<String> {
        let state = self.state();
        let places = state.objects.keys().filter(|place| place.plural == plural);
        places.map(|place| place.name.clone()).collect()
    }

    /// Returns an object by kind and name.
    #[must_use]
    pub fn object(&self, plural: &str, name: &str) -> Option<Value> {
        let state = self.state();
        let mut objects = state.objects.iter();
        let found = objects.find(|(place, _)| place.plural == plural && place.name == name);
        found.map(|(_, object)| object.clone())
    }

    /// Returns every verb with its resource that was asked for.
    #[must_use]
    pub fn requests(&self) -> BTreeSet<(String, String)> {
        self.state().requests.clone()
    }

    /// Returns what was wrong with requests: fields that no kind has, objects that lack their kind.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        self.state().faults.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self) {
        let version = self.state().version;
        self.0.changes.send_replace(version);
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path().to_owned();
        let params = query(request.uri().query().unwrap_or_default());
        match path.as_str() {
            "/version" => {
                return json_response(
                    StatusCode::OK,
                    &json!({
                        "major": "1", "minor": "34", "gitVersion": "v1.34.0", "gitCommit": "", "gitTreeState": "",
                        "buildDate": "", "goVersion": "", "compiler": "", "platform": "linux/amd64",
                    }),
                );
            }
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews" => {
                return self.review(request).await;
            }
            _ => {}
        }
        let Some((place, part)) = Place::of(&path) else {
            return status(
                StatusCode::NOT_FOUND,
                "the server could not find the requested resource",
            );
        };
        let verb = verb(request.method(), &place, &params);
        let resource = match &part {
            Some(part) => format!("{}/{part}", place.plural),
            None => place.plural.clone(),
        };
        {
            let mut state = self.state();
            state.requests.insert((verb.to_owned(), resource.clone()));
            if state.refuses(verb, &resource) {
                let told = format!(
                    "{resource} is forbidden: User \"tester\" cannot {verb} resource \"{resource}\""
                );
                return status(StatusCode::FORBIDDEN, &told);
            }
        }
        match (verb, part.as_deref()) {
            (_, Some("portforward")) => forward::answer(self, request, &place, &params),
            ("get", Some("log")) => self.printed(&place),
            ("watch", None) => self.watch(&place, &params),
            ("list", None) => self.list(&place, &params),
            ("get", None) => self.get(&place),
            ("patch", None) => self.apply(place, request).await,
            ("create", None) => self.create(place, request).await,
            ("delete", None) => self.delete(&place, request).await,
            _ => status(StatusCode::METHOD_NOT_ALLOWED, "the double doesn't do this"),
        }
    }

    async fn review(&self, request: Request<Incoming>) -> Response<Body> {
        let mut review = match body(request).await {
            Ok(review) => review,
            Err(why) => return status(StatusCode::BAD_REQUEST, &why),
        };
        let text = |key: &str| {
            let asked = review.pointer(&format!("/spec/resourceAttributes/{key}"));
            asked.and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let resource = match text("subresource").as_str() {
            "" => text("resource"),
            part => format!("{}/{part}", text("resource")),
        };
        let allowed = !self.state().refuses(&text("verb"), &resource);
        review["status"] = json!({"allowed": allowed});
        json_response(StatusCode::CREATED, &review)
    }

    fn get(&self, place: &Place) -> Response<Body> {
        match self.state().objects.get(place) {
            Some(object) => json_response(StatusCode::OK, object),
            None => missing(place),
        }
    }

    /// Answers with what a pod has printed, as plain text.
    fn printed(&self, place: &Place) -> Response<Body> {
        match self.state().logs.get(&place.name) {
            Some(text) => Response::new(Full::new(Bytes::from(text.clone())).boxed_unsync()),
            None => missing(place),
        }
    }

    fn list(&self, place: &Place, params: &BTreeMap<String, String>) -> Response<Body> {
        let state = self.state();
        let items: Vec<&Value> = state
            .objects
            .iter()
            .filter(|(found, object)| place.holds(found) && place::selects(params, object))
            .map(|(_, object)| object)
            .collect();
        let kind = items
            .first()
            .and_then(|item| item["kind"].as_str())
            .unwrap_or("");
        let list = json!({
            "kind": format!("{kind}List"),
            "apiVersion": items.first().map_or(json!("v1"), |item| item["apiVersion"].clone()),
            "metadata": {"resourceVersion": state.version.to_string()},
            "items": items,
        });
        json_response(StatusCode::OK, &list)
    }

    /// Streams what changes from a version on.
    fn watch(&self, place: &Place, params: &BTreeMap<String, String>) -> Response<Body> {
        let mut changes = self.0.changes.subscribe();
        let mut seen: u64 = params
            .get("resourceVersion")
            .and_then(|text| text.parse().ok())
            .unwrap_or(0);
        let (double, place, params) = (self.clone(), place.clone(), params.clone());
        let (sender, receiver) = tokio::sync::mpsc::channel::<Result<Frame<Bytes>, Infallible>>(16);
        tokio::spawn(async move {
            loop {
                let news: Vec<Value> = {
                    let state = double.state();
                    let news = state.events.iter().filter(|(version, _, found, object)| {
                        *version > seen && place.holds(found) && place::selects(&params, object)
                    });
                    let news =
                        news.map(|(_, kind, _, object)| json!({"type": kind, "object": object}));
                    let news = news.collect();
                    seen = state.version;
                    news
                };
                for event in news {
                    let line = Frame::data(Bytes::from(format!("{event}\n")));
                    if sender.send(Ok(line)).await.is_err() {
                        return;
                    }
                }
                tokio::select! {
                    news = changes.changed() => if news.is_err() { return },
                    () = sender.closed() => return,
                }
            }
        });
        let stream = futures_util::stream::unfold(receiver, |mut receiver| async {
            let frame = receiver.recv().await?;
            Some((frame, receiver))
        });
        Response::new(StreamBody::new(stream).boxed_unsync())
    }

    /// Makes an object where there is none of its name.
    async fn create(&self, place: Place, request: Request<Incoming>) -> Response<Body> {
        let manager = query(request.uri().query().unwrap_or_default()).remove("fieldManager");
        let object = match body(request).await {
            Ok(object) => object,
            Err(why) => return status(StatusCode::BAD_REQUEST, &why),
        };
        let mut faults = schema::faults(&object);
        if manager.is_none() {
            faults.push("it names no field manager".to_owned());
        }
        let name = object.pointer("/metadata/name").and_then(Value::as_str);
        let place = Place {
            name: name.unwrap_or_default().to_owned(),
            ..place
        };
        if self.state().objects.contains_key(&place) {
            let told = format!("{} \"{}\" already exists", place.plural, place.name);
            return status(StatusCode::CONFLICT, &told);
        }
        self.keep(place, object, &faults)
    }

    async fn apply(&self, place: Place, request: Request<Incoming>) -> Response<Body> {
        let manager = query(request.uri().query().unwrap_or_default()).remove("fieldManager");
        let applied = request
            .headers()
            .get("content-type")
            .is_some_and(|kind| kind == "application/apply-patch+yaml");
        let object = match body(request).await {
            Ok(object) => object,
            Err(why) => return status(StatusCode::BAD_REQUEST, &why),
        };
        let mut faults = schema::faults(&object);
        if manager.is_none() || !applied {
            faults.push("it is no server-side apply with a field manager".to_owned());
        }
        self.keep(place, object, &faults)
    }

    /// Keeps an object that is without fault.
    fn keep(&self, place: Place, mut object: Value, faults: &[String]) -> Response<Body> {
        if !faults.is_empty() {
            let named: Vec<_> = faults
                .iter()
                .map(|fault| format!("{}: {fault}", place.name))
                .collect();
            self.state().faults.extend(named);
            return status(StatusCode::UNPROCESSABLE_ENTITY, &faults.join("; "));
        }
        {
            let state = self.state();
            if let Some(says) = state.refused.get(&place.name) {
                let told = format!("{} \"{}\" is forbidden: {says}", place.plural, place.name);
                return status(StatusCode::FORBIDDEN, &told);
            }
            schema::fill(&place, &mut object, state.offers);
        }
        if place.plural == "pods" {
            object["status"] = (self.0.life)(&place.name, &object);
        }
        let stored = self.state().store(place, object);
        self.changed();
        json_response(StatusCode::OK, &stored)
    }

    /// Removes an object and what it owned, as the garbage collector does. With a uid in the preconditions only the object
    /// that has it.
    async fn delete(&self, place: &Place, request: Request<Incoming>) -> Response<Body> {
        let wanted = body(request).await.unwrap_or_default();
        let removed = {
            let mut state = self.state();
            let uid = state
                .objects
                .get(place)
                .and_then(|object| object.pointer("/metadata/uid"));
            let meant = wanted.pointer("/preconditions/uid");
            if meant.is_some() && uid.is_some() && meant != uid {
                return status(StatusCode::CONFLICT, "the UID in the precondition differs");
            }
            state.remove(place)
        };
        let Some(removed) = removed else {
            return missing(place);
        };
        self.changed();
        json_response(StatusCode::OK, &removed)
    }
}

impl State {
    fn refuses(&self, verb: &str, resource: &str) -> bool {
        let asked = (verb.to_owned(), resource.to_owned());
        let granted = self.granted.as_ref();
        self.denied.contains(&asked) || granted.is_some_and(|granted| !granted.contains(&asked))
    }

    fn store(&mut self, place: Place, mut object: Value) -> Value {
        self.version += 1;
        let known = self
            .objects
            .get(&place)
            .and_then(|known| known.pointer("/metadata/uid").cloned());
        let kind = if known.is_some() { "MODIFIED" } else { "ADDED" };
        let uid = known.unwrap_or_else(|| format!("uid-{}", self.version).into());
        object["metadata"]["uid"] = uid;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        self.events
            .push((self.version, kind, place.clone(), object.clone()));
        self.objects.insert(place, object.clone());
        object
    }

    fn remove(&mut self, place: &Place) -> Option<Value> {
        let removed = self.objects.remove(place)?;
        self.version += 1;
        self.events
            .push((self.version, "DELETED", place.clone(), removed.clone()));
        let uid = removed.pointer("/metadata/uid").cloned();
        let owned: Vec<Place> = self
            .objects
            .iter()
            .filter(|(_, object)| {
                object
                    .pointer("/metadata/ownerReferences/0/uid")
                    .is_some_and(|owner| Some(owner) == uid.as_ref())
            })
            .map(|(place, _)| place.clone())
            .collect();
        for place in owned {
            self.remove(&place);
        }
        Some(removed)
    }
}

/// Returns the verb that an authorizer sees.
fn verb(method: &Method, place: &Place, params: &BTreeMap<String, String>) -> &'static str {
    match method.as_str() {
        "GET" if params.get("watch").is_some_and(|watch| watch == "true") => "watch",
        "GET" if place.name.is_empty() => "list",
        "GET" => "get",
        "POST" => "create",
        "PATCH" => "patch",
        "DELETE" => "delete",
        _ => "update",
    }
}

async fn body(request: Request<Incoming>) -> Result<Value, String> {
    let bytes = request
        .into_body()
        .collect()
        .await
        .map_err(|error| error.to_string())?;
    serde_json::from_slice(&bytes.to_bytes()).map_err(|error| error.to_string())
}

fn missing(place: &Place) -> Response<Body> {
    status(
        StatusCode::NOT_FOUND,
        &format!("{} \"{}\" not found", place.plural, place.name),
    )
}

fn status(code: StatusCode, message: &str) -> Response<Body> {
    json_response(
        code,
        &json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": message, "reason": "", "code": code.as_u16(),
        }),
    )
}

fn json_response(code: StatusCode, value: &Value) -> Response<Body> {
    let body = Full::new(Bytes::from(value.to_string()));
    let mut response = Response::new(body.boxed_unsync());
    *response.status_mut() = code;
    let json = hyper::header::HeaderValue::from_static("application/json");
    response
        .headers_mut()
        .insert(hyper::header::CONTENT_TYPE, json);
    response
}
