// A certified authorization server with strict rotation and its own login forms, and an API beside it.
import { Provider } from 'oidc-provider';

const [port, lifetime, clients] = [process.env.PORT, Number(process.env.LIFETIME), JSON.parse(process.env.CLIENTS)];

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: clients.map((client) => ({
    redirect_uris: ['http://127.0.0.1/callback'],
    response_types: ['code'],
    grant_types: ['authorization_code', 'refresh_token', 'client_credentials'],
    ...client,
  })),
  clockTolerance: 0,
  features: { clientCredentials: { enabled: true }, devInteractions: { enabled: true } },
  findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  rotateRefreshToken: true,
  ttl: { AccessToken: lifetime, ClientCredentials: lifetime, RefreshToken: 86400, Grant: 86400, IdToken: 3600 },
});

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
  if (token) {
    ctx.body = { path: ctx.path };
  } else {
    ctx.status = 401;
    ctx.set('WWW-Authenticate', 'Bearer realm="api", error="invalid_token"');
    ctx.body = { error: 'invalid_token' };
  }
}

provider.use((ctx, next) => {
  if (ctx.path === '/test/alive') return alive(ctx);
  return ctx.path.startsWith('/api/') ? api(ctx) : next();
});
provider.listen(Number(port), '127.0.0.1');
