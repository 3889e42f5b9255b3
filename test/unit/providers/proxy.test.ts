import { describe, expect, it } from 'vitest';
import { parseAuthority } from '../../../src/providers/providers.ts';
import {
  chooseProxy,
  isExempt,
  type ProxyRules,
  parseProxyUrl,
  proxyVariable,
  shownProxy,
} from '../../../src/providers/proxy.ts';

const at = (text: string) => {
  const authority = parseAuthority(text);
  if (authority === null) throw new Error(text);
  return authority;
};

describe('a proxy URL', () => {
  it.each([
    ['http://proxy.test:3128', 'http://proxy.test:3128'],
    ['proxy.test:3128', 'http://proxy.test:3128'],
    ['https://proxy.test', 'https://proxy.test:443'],
    ['http://[::1]:8080/', 'http://[::1]:8080'],
    ['http://user:pa%40ss@proxy.test:1', 'http://***@proxy.test:1'],
  ])('%s is %s', (text, shown) => {
    const proxy = parseProxyUrl(text);
    expect(proxy === null ? null : shownProxy(proxy)).toBe(shown);
  });

  it.each([
    'socks5://proxy.test:1080',
    'http://',
    'http://proxy.test/path',
    'http://u:%zz@p.test:1',
  ])('%s is none', (text) => expect(parseProxyUrl(text)).toBeNull());

  it('keeps its credentials as a secret, percent-decoded (RFC 7617)', () => {
    const proxy = parseProxyUrl('http://user:pa%40ss@proxy.test:1');
    expect(proxy?.authorization?.reveal()).toBe(`Basic ${btoa('user:pa@ss')}`);
    expect(JSON.stringify(proxy)).not.toContain(btoa('user:pa@ss'));
  });
});

describe('NO_PROXY', () => {
  it.each([
    ['api.test:443', 'api.test'],
    ['api.test:443', '.api.test'],
    ['a.api.test:443', 'api.test'],
    ['a.api.test:443', 'other.test, .api.test'],
    ['a.api.test:443', '*.api.test'],
    ['API.test:443', 'api.TEST.'],
    ['api.test:443', '*'],
    ['api.test:443', 'other api.test:443'],
    ['127.0.0.1:80', '127.0.0.1'],
    ['10.1.2.3:80', '10.0.0.0/8'],
    ['[::1]:80', '::1'],
    ['[::1]:80', '[::1]:80'],
    ['[2001:db8::5]:80', '2001:db8::/32'],
  ])('%s is exempt by %s', (authority, list) => {
    expect(isExempt(at(authority), list)).toBe(true);
  });

  it.each([
    ['api.test:443', 'pi.test'],
    ['myapi.test:443', 'api.test'],
    ['api.test:443', 'a.api.test'],
    ['api.test:443', 'api.test:80'],
    ['127.0.0.1:80', ''],
    ['127.0.0.1:80', 'localhost'],
    ['11.1.2.3:80', '10.0.0.0/8'],
    ['10.1.2.3:80', '10.1.2.3/99'],
    ['[::2]:80', '::1'],
    ['10.0.0.1:80', '0.0.1'],
  ])('%s is not exempt by "%s"', (authority, list) => {
    expect(isExempt(at(authority), list)).toBe(false);
  });
});

describe('the proxy of a provider', () => {
  const rules = (env: Record<string, string>, configured: string | null = null): ProxyRules => ({
    configured: configured === null ? null : { value: configured, by: 'proxy_url' },
    httpProxy: proxyVariable(env, 'http_proxy'),
    httpsProxy: proxyVariable(env, 'https_proxy'),
    noProxy: proxyVariable(env, 'no_proxy'),
  });
  const both = { HTTPS_PROXY: 'http://s', HTTP_PROXY: 'http://p', https_proxy: 'http://l' };
  const own = { value: 'none', by: 'its own' };

  it.each([
    ['api.test:443', both, null, null, 'http://l', 'https_proxy'],
    ['http://api.test:80', both, null, null, 'http://p', 'HTTP_PROXY'],
    ['api.test:443', { http_proxy: 'http://p' }, null, null, null, 'no proxy is configured'],
    [
      'api.test:443',
      { https_proxy: '', HTTPS_PROXY: 'http://s' },
      null,
      null,
      'http://s',
      'HTTPS_PROXY',
    ],
    ['api.test:443', both, 'http://c', null, 'http://c', 'proxy_url'],
    ['api.test:443', both, 'none', null, null, 'proxy_url'],
    ['api.test:443', { ...both, NO_PROXY: 'test' }, 'http://c', null, null, 'NO_PROXY names it'],
    ['api.test:443', both, 'http://c', own, null, 'its own'],
    ['api.test:443', { NO_PROXY: '*' }, null, { value: 'http://o', by: 'o' }, 'http://o', 'o'],
  ])('%s with %o, %s and %o is %s, because of %s', (authority, env, configured, said, url, because) => {
    const found = chooseProxy(
      at(authority),
      said,
      rules(env as Record<string, string>, configured),
    );
    expect(found).toEqual({ url, because });
  });
});
