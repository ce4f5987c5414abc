// The OpenID provider of the tests: oidc-provider with accounts that carry our claims, and an agency's system that
// signs assertions with the key given. Usage: node provider.mjs PORT PUBLIC_JWK AGENCY
import { Provider } from 'oidc-provider'
import { generateKeyPairSync, X509Certificate } from 'node:crypto'

const issuer = `http://127.0.0.1:${process.argv[2]}`
const key = { ...generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'RS256', kid: 'provider' }
const audience = 'credit-service'

// The login name says what the person is: role:agency-or-entity.
const claimsOf = (login) => {
  const [role, code] = login.split(':')
  return role === 'subject' ? { credit_role: role, credit_entity: code } : { credit_role: role, credit_agency: code }
}

const system = { credit_role: 'agency-submitter', credit_agency: process.argv[4] }

const provider = new Provider(issuer, {
  clients: [
    { client_id: 'portal', token_endpoint_auth_method: 'none', redirect_uris: ['http://127.0.0.1:1/callback'], grant_types: ['authorization_code'], response_types: ['code'], application_type: 'native' },
    { client_id: 'registry', client_secret: 'registry-secret', redirect_uris: [], grant_types: [], response_types: [] },
    { client_id: 'agency-system', token_endpoint_auth_method: 'private_key_jwt', token_endpoint_auth_signing_alg: 'ES256', jwks: { keys: [JSON.parse(process.argv[3])] }, tls_client_certificate_bound_access_tokens: true, redirect_uris: [], grant_types: ['client_credentials'], response_types: [] },
  ],
  jwks: { keys: [key] },
  pkce: { required: () => true },
  cookies: { keys: ['only for tests'] },
  findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id, ...claimsOf(id) }) }),
  features: {
    clientCredentials: { enabled: true },
    // As behind a TLS proxy that hands certificates on (RFC 9440).
    mTLS: {
      enabled: true,
      certificateBoundAccessTokens: true,
      getCertificate: (ctx) => (ctx.get('client-cert') ? new X509Certificate(Buffer.from(ctx.get('client-cert').slice(1, -1), 'base64')) : undefined),
    },
    devInteractions: { enabled: true },
    revocation: { enabled: true, allowedPolicy: () => true },
    introspection: { enabled: true, allowedPolicy: () => true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => 'urn:credit-service:signed',
      useGrantedResource: () => true,
      getResourceServerInfo: (ctx, resource) => ({
        audience,
        scope: 'openid',
        accessTokenTTL: 600,
        accessTokenFormat: resource === 'urn:credit-service:opaque' ? 'opaque' : 'jwt',
        jwt: { sign: { alg: 'RS256' } },
      }),
    },
  },
  // A login whose name ends in "+otp" proved itself by a second factor.
  extraTokenClaims: (ctx, token) => (token.accountId === undefined ? system : {
    ...claimsOf(token.accountId),
    amr: token.accountId.endsWith('+otp') ? ['pwd', 'otp', 'mfa'] : ['pwd'],
    credit_agency: claimsOf(token.accountId).credit_agency?.replace('+otp', ''),
  }),
})
provider.listen(Number(process.argv[2]), '127.0.0.1', () => console.log('ready'))
