/** A usage fact as a log has it, with what a test says of it; the rest is an answer that was served and told its usage. */
export function factLine(said: Readonly<Record<string, unknown>>): string {
  return JSON.stringify({
    event: 'ai.usage',
    v: 1,
    time: '2026-11-26T12:00:00.000Z',
    attempt: 1,
    final: true,
    provider: 'openai',
    dialect: 'openai',
    endpoint: '/v1/chat/completions',
    service_tier: 'default',
    usage_source: 'reported',
    upstream_status: 200,
    input_tokens: 0,
    output_tokens: 0,
    cache_read_tokens: null,
    cache_write_tokens: null,
    cost_usd: '0',
    lines: null,
    ...said,
  });
}
