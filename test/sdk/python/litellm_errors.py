"""The classes that litellm makes of errors, by status. The body's code is left in the message only."""

import litellm

RAISES = {
    400: litellm.BadRequestError,
    401: litellm.AuthenticationError,
    404: litellm.NotFoundError,
    429: litellm.RateLimitError,
    500: litellm.InternalServerError,
    502: litellm.BadGatewayError,
    503: litellm.ServiceUnavailableError,
}


def tell(error):
    return {"status": error.status_code}
