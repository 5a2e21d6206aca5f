"use strict";

const element = (id) => document.getElementById(id);
const FIRST_PAUSE = 250, LONGEST_PAUSE = 5000, LINES_KEPT = 500;

let socket, pause = FIRST_PAUSE, wanted = null, nick = null;

function connect() {
  show("connecting");
  socket = new WebSocket(location.origin.replace(/^http/, "ws") + "/socket");
  socket.onopen = () => {
    pause = FIRST_PAUSE;
    show("connected");
    if (wanted) join();
  };
  socket.onmessage = (event) => {
    const message = JSON.parse(event.data);
    on[message.type](message);
  };
  socket.onclose = () => {
    show("connecting");
    // Not all pages at the same time, when a server has gone.
    setTimeout(connect, pause * (0.5 + Math.random()));
    pause = Math.min(2 * pause, LONGEST_PAUSE);
  };
}

function tell(message) {
  if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

function join() {
  tell({ type: "join", room: wanted.room, nick: wanted.nick });
}

/** What the server says. */
const on = {
  joined(message) {
    nick = message.nick;
    element("entrance").hidden = true;
    element("chat").hidden = false;
    element("room").hidden = false;
    element("room").textContent = message.room;
    element("notice").textContent = "";
    element("lines").replaceChildren(...message.lines.map(line));
    element("lines").scrollTop = element("lines").scrollHeight;
    element("text").focus();
  },
  said(message) {
    const lines = element("lines");
    const wasAtEnd = lines.scrollHeight - lines.scrollTop - lines.clientHeight < 80;
    lines.append(line(message));
    while (lines.childElementCount > LINES_KEPT) lines.firstChild.remove();
    if (wasAtEnd) lines.scrollTop = lines.scrollHeight;
  },
  present({ count, nicks }) {
    element("count").textContent = count;
    element("present").replaceChildren(...nicks.map((name) => {
      const item = document.createElement("li");
      item.textContent = name;
      item.className = name === nick ? "me" : "";
      return item;
    }));
  },
  figures({ connections, messages, nodes }) {
    const servers = nodes > 1 ? ` · ${nodes} servers` : "";
    element("figures").textContent = `${connections} online · ${messages.toFixed(1)} msg/s${servers}`;
  },
  refused({ why }) {
    element("notice").textContent = why;
  },
};

function line({ nick: who, text, at }) {
  const item = document.createElement("li"), head = document.createElement("b"), time = document.createElement("time");
  item.className = who === nick ? "mine" : "";
  head.textContent = who;
  time.textContent = new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  head.append(time);
  // As a text, whatever it looks like.
  item.append(head, text);
  return item;
}

function show(state) {
  element("state").dataset.state = state;
  element("state").textContent = state;
  element("say").querySelector("button").disabled = state !== "connected";
}

element("enter").onsubmit = (event) => {
  event.preventDefault();
  wanted = { nick: element("nick").value, room: element("where").value };
  // Kept in this tab alone, so that two tabs may be two people, and a reload is the same one.
  sessionStorage.setItem("wanted", JSON.stringify(wanted));
  join();
};

element("say").onsubmit = (event) => {
  event.preventDefault();
  const text = element("text").value.trim();
  if (!text || socket.readyState !== WebSocket.OPEN) return;
  element("notice").textContent = "";
  tell({ type: "say", text });
  element("text").value = "";
};

element("leave").onclick = () => {
  tell({ type: "leave" });
  wanted = null;
  sessionStorage.removeItem("wanted");
  element("chat").hidden = true;
  element("room").hidden = true;
  element("entrance").hidden = false;
  element("nick").value = nick ?? "";
};

wanted = JSON.parse(sessionStorage.getItem("wanted") ?? "null");
connect();
