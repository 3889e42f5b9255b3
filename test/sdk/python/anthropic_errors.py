"""The classes that anthropic raises, by status."""

import anthropic

RAISES = {
    400: anthropic.BadRequestError,
    401: anthropic.AuthenticationError,
    402: anthropic.PaymentRequiredError,
    403: anthropic.PermissionDeniedError,
    404: anthropic.NotFoundError,
    413: anthropic.RequestTooLargeError,
    429: anthropic.RateLimitError,
    500: anthropic.InternalServerError,
    502: anthropic.InternalServerError,
    503: anthropic.APIStatusError,
    529: anthropic.APIStatusError,
}


def tell(error: anthropic.APIStatusError):
    said = error.body["error"]
    return {"status": error.status_code, "code": said["type"], "budget": said.get("budget")}
