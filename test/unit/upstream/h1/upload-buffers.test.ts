import { expect, it } from 'vitest';
import {
  UPLOAD_BUFFER_BYTES,
  UPLOAD_BUFFER_MIN_BYTES,
  UPLOAD_BUFFERS_MAX,
  UploadBuffers,
} from '../../../../src/upstream/h1/upload-buffers.ts';

it('a buffer is given out again once it was written, and never before', () => {
  const buffers = new UploadBuffers();
  const [one, other] = [buffers.take(UPLOAD_BUFFER_BYTES), buffers.take(UPLOAD_BUFFER_BYTES)];
  expect(one?.bytes).toHaveLength(UPLOAD_BUFFER_BYTES);
  expect(other?.bytes.buffer).not.toBe(one?.bytes.buffer);
  one?.written();
  expect(buffers.taken).toBe(1);
  expect(buffers.take(UPLOAD_BUFFER_MIN_BYTES)).toBe(one);
  expect(buffers.take(UPLOAD_BUFFER_MIN_BYTES)).not.toBe(other);
});

it('one whose write failed is given out to nobody, and another one may be made for it', () => {
  const buffers = new UploadBuffers();
  const taken = Array.from({ length: UPLOAD_BUFFERS_MAX }, () => buffers.take(100_000));
  expect(new Set(taken).size).toBe(UPLOAD_BUFFERS_MAX);
  expect(buffers.take(100_000)).toBeNull();
  taken[0]?.written(new Error('reset'));
  const next = buffers.take(100_000);
  expect(next).not.toBeNull();
  expect(taken).not.toContain(next);
  expect(buffers.take(100_000)).toBeNull();
});

it.each([
  ['small, so that a stalled upload of a few bytes holds no half MiB', UPLOAD_BUFFER_MIN_BYTES - 1],
  ['larger than one', UPLOAD_BUFFER_BYTES + 1],
])('there is none for a piece that is %s', (_what, bytes) => {
  expect(new UploadBuffers().take(bytes)).toBeNull();
});
