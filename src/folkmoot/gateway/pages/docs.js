// Shows the calls of openapi.json and sends them. No library, nothing from elsewhere.
"use strict";

const byId = (id) => document.getElementById(id);

function element(name, content, ...children) {
  const made = document.createElement(name);
  made.textContent = content ?? "";
  made.append(...children);
  return made;
}

function credentials() {
  const headers = {};
  if (byId("token").value) headers["Authorization"] = `Bearer ${byId("token").value.trim()}`;
  if (byId("acting").value) headers["Folkmoot-User"] = byId("acting").value.trim();
  return headers;
}

const STREAMED_CHARS_MAX = 20000;
const streams = new Map();

// The request that a form describes: its address, and what fetch wants to know beside it.
function request(path, method, inputs, body) {
  const headers = credentials();
  const query = new URLSearchParams();
  for (const [parameter, input] of inputs) {
    if (parameter.in === "path") path = path.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
    if (!input.value) continue;
    if (parameter.in === "header") headers[parameter.name] = input.value;
    if (parameter.in === "query") query.append(parameter.name, input.value);
  }
  const options = { method: method.toUpperCase(), headers };
  if (body && body.value.trim()) {
    headers["Content-Type"] = "application/json";
    options.body = body.value;
  }
  const search = query.toString();
  return [search ? `${path}?${search}` : path, options];
}

function asCurl(address, options) {
  const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;
  const parts = ["curl", "-X", options.method, quoted(location.origin + address)];
  for (const [name, value] of Object.entries(options.headers)) {
    parts.push("-H", name === "Authorization" ? '"Authorization: Bearer $TOKEN"' : quoted(`${name}: ${value}`));
  }
  if (options.body) parts.push("-d", quoted(options.body));
  return parts.join(" ");
}

async function send(address, options, shown) {
  shown.textContent = `${asCurl(address, options)}\n\n…`;
  try {
    streams.get(shown)?.abort();
    const stop = new AbortController();
    const answer = await fetch(address, { ...options, signal: stop.signal });
    if (answer.headers.get("Content-Type")?.startsWith("text/event-stream")) {
      streams.set(shown, stop);
      await follow(answer, shown, `${asCurl(address, options)}\n\n${answer.status} ${answer.statusText}\n`);
      return;
    }
    let text = await answer.text();
    try {
      text = JSON.stringify(JSON.parse(text), null, 2);
    } catch {
      // Not JSON: shown as it came.
    }
    shown.textContent = `${asCurl(address, options)}\n\n${answer.status} ${answer.statusText}\n${text}`;
  } catch (error) {
    if (error.name === "AbortError") return;
    shown.textContent = `${asCurl(address, options)}\n\nno answer: ${error.message}`;
  }
}

// An answer that does not end: shown as it comes, the last of it, until the next request of the same form.
async function follow(answer, shown, head) {
  let text = "";
  for (const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) return;
    text = (text + value).slice(-STREAMED_CHARS_MAX);
    shown.textContent = head + text;
  }
}

function parameterInput(parameter) {
  const input = element("input");
  input.required = parameter.required === true;
  input.placeholder = parameter.schema?.default ?? "";
  if (parameter.name === "Idempotency-Key" && parameter.required) input.value = crypto.randomUUID?.() ?? "";
  const name = parameter.required ? `${parameter.name} (required)` : parameter.name;
  return [element("label", name, element("br"), element("span", parameter.description ?? ""), input), input];
}

function operationForm(path, method, operation) {
  const form = element("form");
  const inputs = [];
  for (const parameter of operation.parameters ?? []) {
    const [label, input] = parameterInput(parameter);
    inputs.push([parameter, input]);
    form.append(label);
  }
  let body = null;
  const content = operation.requestBody?.content?.["application/json"];
  if (content) {
    body = element("textarea", JSON.stringify(content.example ?? {}, null, 2));
    body.spellcheck = false;
    form.append(element("label", "Body", body));
  }
  const shown = element("pre", "");
  shown.hidden = true;
  shown.setAttribute("aria-live", "polite");
  form.append(element("button", "Send"), shown);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    shown.hidden = false;
    send(...request(path, method, inputs, body), shown);
  });
  return form;
}

function answersTable(responses) {
  const table = element("table");
  for (const [status, response] of Object.entries(responses)) {
    table.append(element("tr", "", element("td", status), element("td", response.description)));
  }
  return table;
}

function shapeOf(content, schemas) {
  const name = content?.schema?.$ref?.split("/").pop();
  const schema = schemas[name];
  if (!schema) return element("span");
  const members = Object.entries(schema.properties ?? {}).map(([member, about]) => {
    const type = about.type ?? about.$ref?.split("/").pop() ?? (about.anyOf ? "or null" : "any");
    return `${member}: ${about.enum ? about.enum.join(" | ") : type}`;
  });
  return element("div", "", element("p", schema.description ?? name), element("pre", members.join("\n")));
}

function show(described) {
  byId("about").textContent = `Version ${described.info.version}. `;
  const link = element("a", "The document");
  link.href = "openapi.json";
  byId("about").append(link);
  const sections = new Map();
  for (const [path, methods] of Object.entries(described.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const tag = operation.tags[0];
      if (!sections.has(tag)) sections.set(tag, element("section", "", element("h2", tag)));
      const summary = element("summary", "", element("b", method.toUpperCase()), element("code", path));
      summary.append(` ${operation.summary}`);
      const answer = Object.entries(operation.responses).find(([status]) => status.startsWith("2"));
      const inner = element(
        "div", "", element("p", operation.description ?? ""), operationForm(path, method, operation),
        element("h3", "Answers"), answersTable(operation.responses),
        shapeOf(answer?.[1].content?.["application/json"], described.components.schemas),
      );
      sections.get(tag).append(element("details", "", summary, inner));
    }
  }
  byId("calls").append(...sections.values());
}

byId("who").addEventListener("submit", (event) => event.preventDefault());
fetch("openapi.json")
  .then((answer) => answer.json())
  .then(show)
  .catch((error) => { byId("about").textContent = `The document could not be read: ${error.message}`; });
