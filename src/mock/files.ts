import { CREATED_S } from './asked.ts';
import type { Upload } from './multipart.ts';
import { jsonReply, type Reply } from './reply.ts';

/** Answers POST …/files: OpenAI's file object, plus count and hash of the file and of the whole body. */
export function answerFile(upload: Upload): Reply {
  return jsonReply(
    JSON.stringify({
      id: `file-${upload.fileSha256.slice(0, 22)}`,
      object: 'file',
      bytes: upload.fileBytes,
      created_at: CREATED_S,
      filename: upload.filename,
      purpose: upload.texts.get('purpose') ?? 'assistants',
      status: 'processed',
      sha256: upload.fileSha256,
      body_bytes: upload.bodyBytes,
      body_sha256: upload.bodySha256,
    }),
  );
}
