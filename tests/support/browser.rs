//! A real browser: Chromium without a window, told what to do over its DevTools protocol, by our own WebSocket client.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tiderace::Framed;
use tiderace::websocket::{Message, WebSocket, WebSocketConnector};

/// Chromium starts nothing of its own that goes to the network.
const ARGUMENTS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
];

pub struct Browser {
    child: Child,
    /// Its files, which go when it goes.
    _profile: TempDir,
    socket: Framed<WebSocket>,
    calls: u64,
}

/// A tab.
pub struct Page(String);

impl Browser {
    pub async fn start() -> Browser {
        let profile = TempDir::new().unwrap();
        let mut child = Command::new("chromium")
            .args(ARGUMENTS)
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stderr(Stdio::piped())
            .spawn()
            .expect("chromium is installed");
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let url = lines.find_map(|line| line.unwrap().strip_prefix("DevTools listening on ").map(str::to_owned));
        // It goes on talking, and must not meet a closed pipe.
        std::thread::spawn(move || lines.for_each(drop));
        let limits = WebSocket::default().max_message(64 << 20).max_frame(64 << 20);
        let connector = WebSocketConnector::new(&url.expect("it listens")).unwrap().limits(&limits);
        let socket = connector.connect().await.unwrap().framed();
        Browser { child, _profile: profile, socket, calls: 0 }
    }

    async fn call(&mut self, session: Option<&str>, method: &str, params: Value) -> Value {
        self.try_call(session, method, params).await.unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    async fn try_call(&mut self, session: Option<&str>, method: &str, params: Value) -> Result<Value, Value> {
        self.calls += 1;
        let mut call = json!({ "id": self.calls, "method": method, "params": params });
        if let Some(session) = session {
            call["sessionId"] = session.into();
        }
        self.socket.send(&*call.to_string()).await.unwrap();
        loop {
            let Some(Message::Text(text)) = self.socket.next().await.unwrap() else { panic!("the browser has gone") };
            let answer: Value = serde_json::from_str(text).unwrap();
            if answer["id"] == self.calls {
                let error = &answer["error"];
                return if error.is_null() { Ok(answer["result"].clone()) } else { Err(error.clone()) };
            }
        }
    }

    pub async fn open(&mut self, url: &str) -> Page {
        let target = self.call(None, "Target.createTarget", json!({ "url": url })).await;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = self.call(None, "Target.attachToTarget", attach).await;
        Page(session["sessionId"].as_str().unwrap().to_owned())
    }

    pub async fn reload(&mut self, page: &Page) {
        self.call(Some(&page.0), "Page.reload", json!({})).await;
    }

    /// The window's size, as that of a phone, say.
    pub async fn resize(&mut self, page: &Page, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.call(Some(&page.0), "Emulation.setDeviceMetricsOverride", size).await;
    }

    /// What the user prefers: `light` or `dark`.
    pub async fn prefer(&mut self, page: &Page, scheme: &str) {
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.call(Some(&page.0), "Emulation.setEmulatedMedia", features).await;
    }

    /// Has the page believe that it is the one in front, as each is that its user looks at.
    pub async fn focus(&mut self, page: &Page) {
        self.call(Some(&page.0), "Emulation.setFocusEmulationEnabled", json!({ "enabled": true })).await;
    }

    /// Writes where the focus is, as a keyboard does.
    pub async fn write(&mut self, page: &Page, text: &str) {
        self.call(Some(&page.0), "Input.insertText", json!({ "text": text })).await;
    }

    /// Presses a key that writes nothing: `Tab`, `Enter`.
    pub async fn press(&mut self, page: &Page, key: &str) {
        let code = if key == "Enter" { 13 } else { 9 };
        let text = if key == "Enter" { "\r" } else { "" };
        for kind in ["keyDown", "keyUp"] {
            let event = json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text });
            self.call(Some(&page.0), "Input.dispatchKeyEvent", event).await;
        }
    }

    /// What a screen reader is told of a page: each part's role and name.
    pub async fn spoken(&mut self, page: &Page) -> Vec<(String, String)> {
        let tree = self.call(Some(&page.0), "Accessibility.getFullAXTree", json!({})).await;
        let nodes = tree["nodes"].as_array().unwrap().iter().filter(|node| node["ignored"] != true);
        let text = |value: &Value| value["value"].as_str().unwrap_or_default().to_owned();
        nodes.map(|node| (text(&node["role"]), text(&node["name"]))).collect()
    }

    /// What an expression is in a page; an error, such as that there is no such thing or no such page yet, is nothing.
    pub async fn evaluate(&mut self, page: &Page, expression: &str) -> Value {
        let what = json!({ "expression": expression, "returnByValue": true });
        let value = self.try_call(Some(&page.0), "Runtime.evaluate", what).await.unwrap_or_default();
        value["result"]["value"].clone()
    }

    /// Waits until an expression is true in a page.
    #[track_caller]
    pub fn until(&mut self, page: &Page, expression: &str) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move {
            let began = Instant::now();
            while self.evaluate(page, expression).await != true {
                let text = self.evaluate(page, "document.body.innerText").await;
                assert!(began.elapsed() < super::PATIENCE, "{caller}: not {expression}: {text}");
                tiderace::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    /// A picture of a page, in Base64, as PNG.
    pub async fn picture(&mut self, page: &Page) -> String {
        let picture = self.call(Some(&page.0), "Page.captureScreenshot", json!({})).await;
        picture["data"].as_str().unwrap().to_owned()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
