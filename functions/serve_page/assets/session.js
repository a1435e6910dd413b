// Who is signed in: OpenID Connect, code flow with PKCE. Tokens live in this tab and die with it.

const HELD = "headroom.session";
const PENDING = "headroom.sign_in";
const LEEWAY_SECONDS = 30;
// Where the issuer does not say; the API has the last word on a token in any case.
const LASTS_SECONDS = 3600;

class SignInFailed extends Error {}

const pageUrl = () => new URL("usage", document.baseURI).href.split(/[?#]/)[0];

export function session() {
  const held = JSON.parse(sessionStorage.getItem(HELD) ?? "null");
  return held && held.expires > Date.now() / 1000 + LEEWAY_SECONDS ? held : null;
}

export const endSession = () => sessionStorage.removeItem(HELD);

// Leave for the issuer. What comes back is held against what is kept here.
export async function signIn(config) {
  const verifier = random(48);
  const pending = { verifier, state: random(16), nonce: random(16), hash: location.hash };
  sessionStorage.setItem(PENDING, JSON.stringify(pending));
  const query = new URLSearchParams({
    response_type: "code",
    client_id: config.client_id,
    redirect_uri: pageUrl(),
    scope: config.scope,
    state: pending.state,
    nonce: pending.nonce,
    code_challenge: await challengeOf(verifier),
    code_challenge_method: "S256",
    ...(config.token === "access_token" ? { audience: config.audience } : {}),
  });
  location.assign(`${config.authorization_endpoint}?${query}`);
}

// Finish a sign-in if the address says that one comes back; true if it did.
export async function finishSignIn(config) {
  const back = new URLSearchParams(location.search);
  if (!back.has("code") && !back.has("error")) return false;
  const pending = JSON.parse(sessionStorage.getItem(PENDING) ?? "null");
  sessionStorage.removeItem(PENDING);
  history.replaceState(null, "", pageUrl() + (pending?.hash ?? ""));
  if (back.has("error")) throw new SignInFailed(back.get("error_description") ?? back.get("error"));
  if (!pending || back.get("state") !== pending.state) throw new SignInFailed("state");
  const tokens = await exchange(config, back.get("code"), pending.verifier);
  const claims = claimsOf(tokens.id_token ?? tokens.access_token);
  if (tokens.id_token && claims.nonce !== pending.nonce) throw new SignInFailed("nonce");
  const token = tokens[config.token];
  if (!token) throw new SignInFailed(`no ${config.token}`);
  // By this machine's clock, which need not be the issuer's.
  const expires = Date.now() / 1000 + (tokens.expires_in ?? LASTS_SECONDS);
  sessionStorage.setItem(
    HELD,
    JSON.stringify({ token, expires, name: claims.name ?? claims.email ?? null, id_token: tokens.id_token ?? null }),
  );
  return true;
}

export function signOut(config) {
  const held = session();
  endSession();
  if (!config?.end_session_endpoint) return location.reload();
  const query = new URLSearchParams({
    client_id: config.client_id,
    post_logout_redirect_uri: pageUrl(),
    ...(held?.id_token ? { id_token_hint: held.id_token } : {}),
  });
  location.assign(`${config.end_session_endpoint}?${query}`);
}

async function exchange(config, code, verifier) {
  let answer;
  try {
    answer = await fetch(config.token_endpoint, {
      method: "POST",
      body: new URLSearchParams({
        grant_type: "authorization_code",
        client_id: config.client_id,
        redirect_uri: pageUrl(),
        code,
        code_verifier: verifier,
      }),
    });
  } catch {
    throw new SignInFailed("the issuer does not answer");
  }
  const tokens = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new SignInFailed(tokens.error_description ?? tokens.error ?? `${answer.status}`);
  return tokens;
}

// Only to be shown, or compared with what we sent: the API verifies the signature.
function claimsOf(token) {
  const packed = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
  const bytes = Uint8Array.from(atob(packed), (each) => each.charCodeAt(0));
  return JSON.parse(new TextDecoder().decode(bytes));
}

async function challengeOf(verifier) {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier));
  return packed(new Uint8Array(digest));
}

const random = (bytes) => packed(crypto.getRandomValues(new Uint8Array(bytes)));
const packed = (bytes) =>
  btoa(String.fromCharCode(...bytes))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "");
