//! Port-forward over a WebSocket, as API servers speak it: a byte with the channel before each message, the port's
//! number as the first message of each channel.

use std::collections::BTreeMap;

use futures_util::{SinkExt as _, StreamExt as _};
use hyper::body::Incoming;
use hyper::header::{
    CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    UPGRADE,
};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::place::Place;
use super::{Body, Double, json_response, missing, status};

/// Channel of the bytes, and of an error.
const DATA: u8 = 0;
const ERROR: u8 = 1;

pub(super) fn answer(
    double: &Double,
    mut request: Request<Incoming>,
    place: &Place,
    params: &BTreeMap<String, String>,
) -> Response<Body> {
    if !double.state().objects.contains_key(place) {
        return missing(place);
    }
    let port = params
        .get("ports")
        .and_then(|port| port.parse::<u16>().ok());
    let key = request
        .headers()
        .get(SEC_WEBSOCKET_KEY)
        .map(|key| derive_accept_key(key.as_bytes()));
    let (Some(port), Some(accept)) = (port, key) else {
        return status(StatusCode::BAD_REQUEST, "a port and a WebSocket are wanted");
    };
    let to = double
        .state()
        .ports
        .get(&(place.name.clone(), port))
        .copied();
    let upgrade = hyper::upgrade::on(&mut request);
    let down = double.down();
    tokio::spawn(async move {
        let Ok(upgraded) = upgrade.await else { return };
        let socket =
            WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
        let connected = match to {
            Some(to) => TcpStream::connect(to).await.ok(),
            None => None,
        };
        tokio::select! {
            () = carry(socket, port, connected) => {}
            () = down => {}
        }
    });
    let mut response = json_response(StatusCode::SWITCHING_PROTOCOLS, &serde_json::Value::Null);
    *response.body_mut() = Body::default();
    let headers = response.headers_mut();
    headers.clear();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(
        SEC_WEBSOCKET_PROTOCOL,
        HeaderValue::from_static("v4.channel.k8s.io"),
    );
    if let Ok(accept) = HeaderValue::from_str(&accept) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    response
}

/// Carries bytes until either end goes.
async fn carry(
    mut socket: WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>,
    port: u16,
    stream: Option<TcpStream>,
) {
    let [low, high] = port.to_le_bytes();
    for channel in [DATA, ERROR] {
        if socket
            .send(Message::binary(vec![channel, low, high]))
            .await
            .is_err()
        {
            return;
        }
    }
    let Some(stream) = stream else {
        let mut message = vec![ERROR];
        message.extend(
            format!("failed to connect to localhost:{port} inside the pod: connection refused")
                .bytes(),
        );
        let _ = socket.send(Message::binary(message)).await;
        // The client closes: it has read the message then.
        while let Some(Ok(_)) = socket.next().await {}
        return;
    };
    let (mut from, mut to) = stream.into_split();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        tokio::select! {
            read = from.read(&mut buffer) => {
                let Ok(count @ 1..) = read else { break };
                let mut message = vec![DATA];
                message.extend_from_slice(&buffer[..count]);
                if socket.send(Message::binary(message)).await.is_err() {
                    return;
                }
            }
            message = socket.next() => match message {
                Some(Ok(Message::Binary(bytes))) if bytes.first() == Some(&DATA) => {
                    if to.write_all(&bytes[1..]).await.is_err() {
                        break;
                    }
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {}
            },
        }
    }
    let _ = socket.close(None).await;
}
