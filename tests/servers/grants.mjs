// A certified authorization server with everything on that it has: each grant, each client authentication, DPoP with
// nonces, pushed requests, mutual TLS. The API beside it is its own userinfo endpoint, which checks DPoP and certificates.
import { createHash, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { createLocalJWKSet, jwtVerify } from 'jose';
import { Provider, errors } from 'oidc-provider';

const env = process.env;
const [port, tlsPort, lifetime] = [env.PORT, env.TLS_PORT, Number(env.LIFETIME)];
const issuer = `http://127.0.0.1:${port}`;
const JWT_BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer';
const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const DEVICE = 'urn:ietf:params:oauth:grant-type:device_code';
const seen = { calls: {}, jti: [], repeated: 0, nonces: 0 };

const provider = new Provider(issuer, {
  clients: JSON.parse(env.CLIENTS).map((client) => ({
    application_type: 'native',
    redirect_uris: ['http://127.0.0.1/callback'],
    response_types: ['code'],
    grant_types: ['authorization_code', 'refresh_token', 'client_credentials', JWT_BEARER, EXCHANGE, DEVICE],
    ...client,
  })),
  clientAuthMethods: [
    'client_secret_basic', 'client_secret_jwt', 'client_secret_post', 'private_key_jwt', 'none',
    'tls_client_auth', 'self_signed_tls_client_auth',
  ],
  enabledJWA: {
    clientAuthSigningAlgValues: [
      'HS256', 'HS384', 'HS512', 'RS256', 'PS256', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519',
    ],
  },
  clockTolerance: 0,
  discovery: { mtls_endpoint_aliases: { token_endpoint: `https://127.0.0.1:${tlsPort}/token` } },
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: true },
    deviceFlow: { enabled: true },
    dPoP: {
      enabled: true,
      nonceSecret: createHash('sha256').update(`${Math.random()}`).digest(),
      requireNonce: () => env.NONCES === '1',
    },
    mTLS: {
      enabled: true,
      certificateBoundAccessTokens: true,
      tlsClientAuth: true,
      selfSignedTlsClientAuth: true,
      getCertificate: (ctx) => certificate(ctx),
      certificateAuthorized: (ctx) => Boolean(ctx.socket.authorized),
      certificateSubjectMatches: (ctx, property, expected) =>
        property === 'tls_client_auth_san_dns' && certificate(ctx).subjectAltName === `DNS:${expected}`,
    },
    pushedAuthorizationRequests: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => undefined,
      getResourceServerInfo: (ctx, resource) => ({ scope: 'read', audience: resource, accessTokenFormat: 'jwt', accessTokenTTL: lifetime }),
      useGrantedResource: () => true,
    },
    revocation: { enabled: true, allowedPolicy: () => true },
  },
  findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  rotateRefreshToken: true,
  ttl: { AccessToken: lifetime, ClientCredentials: lifetime, RefreshToken: 86400, Grant: 86400, IdToken: 3600, DeviceCode: Number(env.DEVICE || 60) },
});

function certificate(ctx) {
  const peer = ctx.socket.getPeerCertificate?.(true);
  return peer?.raw ? new X509Certificate(peer.raw) : undefined;
}

async function issue(ctx, more) {
  const token = new provider.ClientCredentials({ client: ctx.oidc.client, scope: ctx.oidc.params.scope });
  ctx.body = { access_token: await token.save(), expires_in: token.expiration, token_type: token.tokenType, ...more };
}

provider.registerGrantType(JWT_BEARER, async (ctx) => {
  const { client, params } = ctx.oidc;
  try {
    const options = { issuer: client.clientId, subject: 'somebody', audience: issuer };
    const { payload } = await jwtVerify(params.assertion, createLocalJWKSet(client.jwks), options);
    if (seen.jti.includes(payload.jti)) throw new Error('jti');
    seen.jti.push(payload.jti);
  } catch (error) {
    throw new errors.InvalidGrant(`assertion: ${error.message}`);
  }
  await issue(ctx, {});
}, ['assertion', 'scope']);

provider.registerGrantType(EXCHANGE, async (ctx) => {
  const { params } = ctx.oidc;
  const subject = params.subject_token === 'lasting' || await provider.AccessToken.find(params.subject_token)
    || await provider.ClientCredentials.find(params.subject_token);
  if (!subject) throw new errors.InvalidGrant('subject_token');
  await issue(ctx, { issued_token_type: 'urn:ietf:params:oauth:token-type:access_token' });
}, ['subject_token', 'subject_token_type', 'requested_token_type', 'audience', 'scope']);

async function alive(ctx) {
  const chunks = [];
  for await (const chunk of ctx.req) chunks.push(chunk);
  const token = await provider.RefreshToken.find(Buffer.concat(chunks).toString());
  ctx.body = JSON.stringify(Boolean(token && !token.consumed));
  ctx.type = 'json';
}

async function api(ctx) {
  const value = (ctx.get('authorization') || '').replace(/^Bearer /, '');
  const token = value && ((await provider.AccessToken.find(value)) || (await provider.ClientCredentials.find(value)));
  if (token && !token.jkt) {
    ctx.body = { path: ctx.path };
  } else {
    ctx.status = 401;
    ctx.set('WWW-Authenticate', `Bearer error="invalid_token", resource_metadata="${issuer}/.well-known/oauth-protected-resource"`);
    ctx.body = { error: 'invalid_token' };
  }
}

provider.use(async (ctx, next) => {
  if (ctx.path === '/test/seen') {
    ctx.body = seen;
    return;
  }
  if (ctx.path === '/test/alive') return alive(ctx);
  if (ctx.path === '/hop') {
    ctx.status = 307;
    ctx.set('Location', '/me?hopped=1');
    return;
  }
  if (ctx.path.startsWith('/api/')) return api(ctx);
  const proof = ctx.get('dpop');
  if (proof) {
    const { jti } = JSON.parse(Buffer.from(proof.split('.')[1], 'base64url'));
    if (seen.jti.includes(jti)) seen.repeated += 1;
    seen.jti.push(jti);
  }
  await next();
  if (ctx.path === '/me') seen.calls[`me ${ctx.status}`] = (seen.calls[`me ${ctx.status}`] || 0) + 1;
  if (ctx.status >= 400 && ctx.body?.error === 'use_dpop_nonce') seen.nonces += 1;
  if (ctx.path === '/token') {
    const name = `${ctx.oidc?.params?.grant_type || 'none'} ${ctx.status}`;
    seen.calls[name] = (seen.calls[name] || 0) + 1;
  }
});
provider.listen(Number(port), '127.0.0.1');
if (env.TLS) {
  const read = (name) => readFileSync(`${env.TLS}/${name}`);
  createServer(
    { key: read('server.key'), cert: read('server.pem'), ca: read('ca.pem'), requestCert: true, rejectUnauthorized: false },
    provider.callback(),
  ).listen(Number(tlsPort), '127.0.0.1');
}
