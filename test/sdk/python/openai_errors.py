"""The classes that openai raises, by status. What is built on openai raises them too."""

import openai

RAISES = {
    400: openai.BadRequestError,
    401: openai.AuthenticationError,
    402: openai.APIStatusError,
    403: openai.PermissionDeniedError,
    404: openai.NotFoundError,
    413: openai.APIStatusError,
    429: openai.RateLimitError,
    500: openai.InternalServerError,
    502: openai.InternalServerError,
    503: openai.InternalServerError,
}


def tell(error: openai.APIStatusError):
    said = error.body if isinstance(error.body, dict) else {}
    return {"status": error.status_code, "code": error.code, "budget": said.get("budget")}
