"use strict";

const element = (id) => document.getElementById(id);
const FIRST_PAUSE = 250, LONGEST_PAUSE = 10000, LINES_KEPT = 500, ROOMS_KEPT = 8;
/** How often the others are told that this page types, and how long they believe it. In milliseconds. */
const TYPING_EVERY = 2500, TYPING_FOR = 5000;

let socket, pause = FIRST_PAUSE, retry = null;
/** What is wanted: a name, and rooms, of which one is shown. What the server has granted is in `rooms`. */
let wanted = { nick: "", rooms: [], active: null };
/** By name: { nick, lines, seen, unread, present, count, typing }, in the order in which they were entered. */
const rooms = new Map();
let toldOfTyping = 0;

function connect() {
  clearInterval(retry);
  show("connecting", "connecting");
  socket = new WebSocket(location.origin.replace(/^http/, "ws") + "/socket");
  socket.onopen = () => {
    pause = FIRST_PAUSE;
    show("connected", "connected");
    // The one that is shown is the last to be entered.
    const order = wanted.rooms.filter((name) => name !== wanted.active).concat(wanted.active ?? []);
    for (const room of order) tell({ type: "join", room, nick: wanted.nick });
  };
  socket.onmessage = (event) => {
    const message = JSON.parse(event.data);
    if (Object.hasOwn(on, message.type)) on[message.type](message);
  };
  socket.onclose = () => {
    // Not all pages at the same time, when a server has gone; and later each time.
    const until = Date.now() + pause * (0.5 + Math.random());
    pause = Math.min(2 * pause, LONGEST_PAUSE);
    const count = () => {
      const left = Math.ceil((until - Date.now()) / 1000);
      if (left <= 0) return connect();
      // Said once, not every second, where it is read out.
      show("connecting", pause > 4000 ? "connection lost, trying again in some seconds" : "connection lost, trying again");
    };
    count();
    clearInterval(retry);
    retry = setInterval(count, 100);
  };
}

function tell(message) {
  if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

function join(written) {
  // In the form in which the server will have it: a room is not to be listed twice.
  const room = written.normalize("NFKC").trim().replace(/\s+/g, " ");
  if (!wanted.rooms.includes(room)) wanted.rooms.push(room);
  wanted.active = room;
  keep();
  tell({ type: "join", room, nick: wanted.nick });
}

/** Kept in this tab alone, so that two tabs may be two people, and a reload is the same one. */
function keep() {
  sessionStorage.setItem("wanted", JSON.stringify(wanted));
}

function isRead(name) {
  return name === wanted.active && !document.hidden && document.hasFocus();
}

/** What the server says. */
const on = {
  joined({ room, nick, lines }) {
    // The server may write the name in another form: that is the one it goes by from now on.
    const asked = wanted.rooms.includes(room) ? room : wanted.active;
    wanted.rooms = [...new Set(wanted.rooms.map((name) => (name === asked ? room : name)))];
    if (wanted.active === asked) wanted.active = room;
    const before = rooms.get(room);
    const seen = before?.seen ?? Infinity;
    const unread = lines.filter((said) => said.at > seen && said.nick !== nick).length;
    rooms.set(room, {
      nick, lines, present: [], count: 0, typing: new Map(),
      unread: before ? before.unread + unread : 0,
      seen: lines.at(-1)?.at ?? before?.seen ?? 0,
    });
    keep();
    element("refusal").textContent = "";
    element("notice").textContent = "";
    const isFirst = element("chat").hidden;
    element("entrance").hidden = true;
    for (const part of ["chat", "room", "skip"]) element(part).hidden = false;
    if (room === wanted.active) showRoom();
    else showRooms();
    if (isFirst) element("text").focus();
  },
  said({ room: name, nick, text, at }) {
    const room = rooms.get(name);
    if (!room) return;
    room.lines.push({ nick, text, at });
    room.seen = at;
    room.typing.delete(nick);
    if (room.lines.length > LINES_KEPT) room.lines.shift();
    if (name === wanted.active) {
      const lines = element("lines");
      const wasAtEnd = lines.scrollHeight - lines.scrollTop - lines.clientHeight < 80;
      lines.append(line(room.lines.at(-1), room.nick));
      while (lines.childElementCount > LINES_KEPT) lines.firstChild.remove();
      if (wasAtEnd) lines.scrollTop = lines.scrollHeight;
      showTyping();
    }
    if (!isRead(name) && nick !== room.nick) {
      room.unread += 1;
      showRooms();
    }
  },
  typing({ room, nick }) {
    rooms.get(room)?.typing.set(nick, Date.now() + TYPING_FOR);
    showTyping();
  },
  present({ room: name, count, nicks }) {
    const room = rooms.get(name);
    if (!room) return;
    [room.count, room.present] = [count, nicks];
    if (name === wanted.active) showPresent(room);
  },
  figures({ connections, messages, nodes }) {
    const servers = nodes > 1 ? ` · ${nodes} servers` : "";
    element("figures").textContent = `${connections} online · ${messages.toFixed(1)} msg/s${servers}`;
  },
  refused({ why, room }) {
    if (room !== undefined && !rooms.has(room)) {
      wanted.rooms = wanted.rooms.filter((name) => name !== room);
      if (wanted.active === room) wanted.active = [...rooms.keys()].at(-1) ?? null;
      keep();
    }
    // Again, so that the same words are read out again.
    const place = element(element("chat").hidden ? "refusal" : "notice");
    place.textContent = "";
    place.textContent = why;
  },
};

function line({ nick: author, text, at }, nick) {
  const item = document.createElement("li"), head = document.createElement("b");
  const name = document.createElement("bdi"), time = document.createElement("time");
  item.className = author === nick ? "mine" : "";
  name.textContent = author;
  time.dateTime = new Date(at).toISOString();
  time.textContent = new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  head.append(name, time);
  const body = document.createElement("span");
  body.dir = "auto";
  // As a text, whatever it looks like.
  body.textContent = text;
  item.append(head, body);
  return item;
}

function show(state, words) {
  const place = element("state");
  place.dataset.state = state;
  if (place.textContent !== words) place.textContent = words;
  // Not `disabled`, which would take the focus away from it.
  element("say").querySelector("button").setAttribute("aria-disabled", state !== "connected");
}

/** The room that is shown, anew. */
function showRoom() {
  const room = rooms.get(wanted.active);
  if (!room) return;
  element("room").textContent = wanted.active;
  const lines = element("lines");
  // A screen reader is to hear what is new, not all that was said before.
  lines.setAttribute("aria-busy", "true");
  lines.replaceChildren(...room.lines.map((said) => line(said, room.nick)));
  lines.scrollTop = lines.scrollHeight;
  requestAnimationFrame(() => lines.removeAttribute("aria-busy"));
  showPresent(room);
  showTyping();
  read();
}

function showPresent(room) {
  element("count").textContent = room.count;
  element("present").replaceChildren(...room.present.map((name) => {
    const item = document.createElement("li");
    item.textContent = name;
    item.dir = "auto";
    item.className = name === room.nick ? "me" : "";
    return item;
  }));
}

function showTyping() {
  const room = rooms.get(wanted.active), now = Date.now();
  if (!room) return;
  for (const [name, until] of room.typing) if (until <= now) room.typing.delete(name);
  const names = [...room.typing.keys()];
  // Isolated, so that no name turns the direction of the others.
  const some = names.slice(0, 3).map((name) => `\u2068${name}\u2069`).join(", ");
  const words = names.length === 0 ? "" : names.length > 3 ? `${some} and others are typing…`
    : `${some} ${names.length > 1 ? "are" : "is"} typing…`;
  if (element("typing").textContent !== words) element("typing").textContent = words;
}

/** The list of rooms, and the title, with what is unread. */
function showRooms() {
  const focused = document.activeElement?.dataset?.room;
  element("rooms").replaceChildren(...[...rooms].map(([name, room]) => {
    const item = document.createElement("li"), button = document.createElement("button");
    const label = document.createElement("span");
    button.type = "button";
    button.dataset.room = name;
    if (name === wanted.active) button.setAttribute("aria-current", "true");
    label.className = "name";
    label.dir = "auto";
    label.textContent = name;
    button.append(label);
    if (room.unread > 0) {
      const unread = document.createElement("span");
      unread.className = "unread";
      unread.textContent = room.unread > 99 ? "99+" : room.unread;
      button.append(unread);
      button.setAttribute("aria-label", `${name}, ${room.unread} unread`);
    }
    button.onclick = () => {
      wanted.active = name;
      keep();
      showRoom();
      element("text").focus();
    };
    item.append(button);
    return item;
  }));
  element("rooms").querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  if (focused !== undefined) element("rooms").querySelector(`[data-room="${CSS.escape(focused)}"]`)?.focus();
  const unread = [...rooms.values()].reduce((sum, room) => sum + room.unread, 0);
  document.title = (unread > 0 ? `(${unread}) ` : "") + (wanted.active ? `${wanted.active} · ` : "") + "tiderace chat";
}

/** The room that is shown is read, if the page is in front. */
function read() {
  const room = rooms.get(wanted.active);
  if (room && isRead(wanted.active)) room.unread = 0;
  showRooms();
}

document.onvisibilitychange = read;
window.onfocus = read;

element("enter").onsubmit = (event) => {
  event.preventDefault();
  wanted.nick = element("nick").value;
  join(element("where").value);
};

element("add").onsubmit = (event) => {
  event.preventDefault();
  const room = element("another").value;
  element("another").value = "";
  if (rooms.size >= ROOMS_KEPT && !rooms.has(room.trim())) return on.refused({ why: `You are in ${ROOMS_KEPT} rooms: leave one of them first.` });
  join(room);
};

element("say").onsubmit = (event) => {
  event.preventDefault();
  const text = element("text").value.trim();
  // What cannot be sent stays where it was written.
  if (!text || socket.readyState !== WebSocket.OPEN) return;
  element("notice").textContent = "";
  tell({ type: "say", text, room: wanted.active });
  element("text").value = "";
  toldOfTyping = 0;
};

element("text").oninput = () => {
  const now = Date.now();
  if (!element("text").value || now - toldOfTyping < TYPING_EVERY) return;
  toldOfTyping = now;
  tell({ type: "typing", room: wanted.active });
};

element("leave").onclick = () => {
  const nick = rooms.get(wanted.active)?.nick;
  tell({ type: "leave", room: wanted.active });
  rooms.delete(wanted.active);
  wanted.rooms = wanted.rooms.filter((name) => name !== wanted.active);
  wanted.active = [...rooms.keys()].at(-1) ?? null;
  keep();
  if (wanted.active !== null) {
    showRoom();
    element("text").focus();
    return;
  }
  for (const part of ["chat", "room", "skip"]) element(part).hidden = true;
  element("entrance").hidden = false;
  element("nick").value = nick ?? "";
  showRooms();
  element("where").focus();
};

setInterval(showTyping, 500);
wanted = { ...wanted, ...JSON.parse(sessionStorage.getItem("wanted") ?? "{}") };
connect();
