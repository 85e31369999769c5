// Requests to the server that gave this page.

const KEY = "mmgraph-api-key";

export class ApiError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

let key = "";
try {
  key = sessionStorage.getItem(KEY) ?? "";
} catch {
  // storage may be blocked; the key then lasts as long as the page
}

export const hasKey = () => key !== "";

export function setKey(value) {
  key = value;
  try {
    sessionStorage.setItem(KEY, value);
  } catch {
    // see above
  }
}

/** Address of an endpoint; parameters that are empty are left out. */
export function address(path, params = {}) {
  const url = new URL(path, document.baseURI.split("#")[0]);
  for (const [name, value] of Object.entries(params)) {
    if (value !== null && value !== undefined && value !== "") url.searchParams.set(name, value);
  }
  return url.href;
}

export const get = (path, params, signal) => request(address(path, params), { signal });

export const postJson = (path, body, signal) =>
  request(address(path), {
    method: "POST",
    signal,
    body: JSON.stringify(body),
    headers: { "Content-Type": "application/json" },
  });

export function postForm(path, fields, signal) {
  const body = new FormData();
  for (const [name, value] of Object.entries(fields)) {
    if (value !== null && value !== undefined && value !== "") body.set(name, value);
  }
  return request(address(path), { method: "POST", signal, body });
}

/** A picture as a blob, for pages that need a key: an `<img>` cannot send one. */
export async function getBlob(path, params, signal) {
  return (await send(address(path, params), { signal })).blob();
}

async function request(url, options) {
  const response = await send(url, options);
  try {
    return await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("The server's answer could not be read.", response.status);
  }
}

async function send(url, options) {
  const headers = { ...options.headers, ...(key ? { "X-API-Key": key } : {}) };
  let response;
  try {
    response = await fetch(url, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("The server cannot be reached.", 0);
  }
  if (!response.ok) throw new ApiError(await reason(response), response.status);
  return response;
}

async function reason(response) {
  try {
    const body = await response.json();
    if (typeof body.error === "string") return body.error;
  } catch {
    // no JSON: a proxy answered
  }
  return `The server answered ${response.status} ${response.statusText}`.trim();
}
