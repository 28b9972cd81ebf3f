// A certified authorization server with strict rotation, an API beside it, and a way to log in without a browser.
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
  features: { clientCredentials: { enabled: true }, devInteractions: { enabled: false } },
  findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  rotateRefreshToken: true,
  ttl: { AccessToken: lifetime, ClientCredentials: lifetime, RefreshToken: 86400, Grant: 86400, IdToken: 3600 },
});

async function login(ctx) {
  const client = await provider.Client.find(ctx.query.client_id);
  const grant = new provider.Grant({ accountId: 'user', clientId: client.clientId });
  grant.addOIDCScope('openid offline_access');
  const common = { accountId: 'user', client, grantId: await grant.save(), gty: 'authorization_code', scope: 'openid offline_access' };
  const access = new provider.AccessToken(common);
  const refresh = new provider.RefreshToken({ ...common, rotations: 0, iiat: Math.floor(Date.now() / 1000) });
  ctx.body = { access_token: await access.save(), refresh_token: await refresh.save(), expires_in: lifetime, token_type: 'Bearer' };
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
  if (ctx.path === '/test/login') return login(ctx);
  return ctx.path.startsWith('/api/') ? api(ctx) : next();
});
provider.listen(Number(port), '127.0.0.1');
