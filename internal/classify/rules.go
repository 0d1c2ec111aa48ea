package classify

// Names that facts.go gives to kinds of quota that Google tells apart in the
// middle of a quota ID.
const (
	codePerDay    = "quota_per_day"
	codePerMinute = "quota_per_minute"
)

// rules are asked in order, first by code, then by message, then by status: so
// a spent quota wins over a rate limit, and that over an overload, whatever
// status a provider puts on them. See compile for the notation of phrases:
// words as fold leaves them, " * " for a gap.
var rules = []rule{
	// Wordings that hold the words of a later group and mean something else.
	{
		kind: TooLong, reason: "larger than the rate limit",
		// OpenAI and Groq: one request above the tokens of a minute never fits.
		phrases: []string{"request too large for", "tokens must be reduced"},
	},
	{
		kind: RateLimited, reason: "quota per minute",
		// Google calls its rate limits quotas.
		codes: codePerMinute,
		phrases: []string{
			"quota * per minute", "quota * per second", "exceeded your current quota ** please retry in", "rate quota",
		},
	},
	{
		kind: Malformed, reason: "no answer",
		// What harnesses say of an answer without choices or text.
		codes: "empty_response empty_choices no_choices no_content_generated",
		phrases: []string{
			"empty response from * model", "empty response from * provider", "empty answer", "empty completion",
			"returned an empty", "returned empty", "returned no choices", "returned no content", "no choices", "without choices",
			"choices is empty", "choices are empty", "choices array is empty", "empty choices",
			"no text in response", "no content in response", "no output generated", "blank response", "response was empty",
			"response is empty", "empty content", "empty message content", "empty model response", "model response is empty",
			"sin choices", "respuesta vacia", "respuesta en blanco", "contenido vacio", "sin contenido",
			"reponse vide", "leere antwort", "resposta vazia",
		},
		scope: noStatus,
	},
	{
		kind: NotFound, reason: "no access to the model",
		// OpenAI says both of a model that does not exist; the key is well.
		phrases: []string{
			"model * does not exist", "model * doesnt exist", "does not have access to model", "no access to model",
			"model * do not have access", "model * dont have access", "not have access to the model", "model * not found",
			"model * access is denied", "model * may not exist",
		},
	},
	{
		kind: Invalid, reason: "unsupported parameter or feature",
		// The model is there, and cannot do what the request asks: OpenRouter
		// says so with 404, OpenAI and others with 400.
		codes: "unsupported_parameter unsupported_value unknown_parameter extra_forbidden invalid_value missing_required_parameter",
		phrases: []string{
			"no endpoints found that support", "no endpoints found * supporting", "no endpoints * support * parameter",
			"no endpoints * can handle * requested", "no endpoints * support image", "no endpoints * support tool",
			"unsupported value", "unsupported parameter", "unsupported * parameter",
			"not supported with this model", "not supported by this model", "not supported for this model",
			"not supported in this model", "not supported when", "model does not support", "model doesnt support",
			"model * does not support", "does not support * with this model", "does not support * input", "extra forbidden", "extra inputs are not",
		},
	},

	// Spent quota and credit: OpenAI and Azure (429), Anthropic (400, 402, 429),
	// OpenRouter (402, 403), DeepSeek (402), Moonshot, Zhipu, Alibaba,
	// Volcengine, Hugging Face, xAI, LiteLLM and Portkey budgets, one-api.
	{
		kind: QuotaSpent, reason: "quota spent",
		codes: codePerDay + " insufficient_quota insufficient_user_quota insufficient_balance insufficient_credits insufficient_funds " +
			"billing_hard_limit_reached billing_limit_reached billing_not_active billing_error payment_required payment_error " +
			"credit_balance_too_low credits_exhausted out_of_credits no_credits spend_limit_reached spend_limit_exceeded " +
			"enforced_spend_limit_reached spending_limit_reached spending_limit_exceeded budget_exceeded BudgetExceededError " +
			"exceeded_current_quota_error usage_limit_reached usage_limit_exceeded monthly_limit_reached key_limit_exceeded " +
			"ServiceQuotaExceededException Arrearage AccountOverdueError AllocationQuota.FreeTierOnly",
		phrases: []string{
			"insufficient quota", "insufficient user quota", "insufficient credit", "insufficient balance", "insufficient fund",
			"insufficient account balance", "insufficient * credits", "insufficient * balance",
			"not enough credit", "not enough balance", "not enough quota", "quota is not enough", "out of credit", "out of funds",
			"no credits", "no remaining credits", "requires more credits", "can only afford", "cannot afford", "balance * too low",
			"balance is negative", "negative balance", "credits * exhausted", "credit * exhausted", "credits * depleted",
			"credits * used up", "used all * credits", "used up * credits", "balance * exhausted", "credit balance",
			"exceeded * current quota", "quota has been exceeded", "quota exceeded", "quota reached", "quota is used up",
			"quota * used up", "quota * has been exhausted", "quota * depleted", "over quota", "out of call volume quota",
			"free quota", "free tier * exhausted", "free tier * used", "free models per day", "daily quota", "monthly quota",
			"monthly * credits", "monthly limit", "weekly limit", "monthly usage limit", "monthly spend",
			"spend limit", "spending limit", "spending cap", "spend cap", "billing hard limit", "hard limit reached", "key limit exceeded", "key * total limit",
			"budget * exceeded", "exceeded * budget", "max budget",
			"usage limit reached", "reached * usage limit", "hit * usage limit", "exceeded * usage limit", "usage limit has been",
			"reached * session limit", "hit * session limit", "5 hour limit reached", "hit your limit",
			"plan and billing", "billing * not active", "billing * disabled", "requires billing", "billing to be enabled",
			"payment required", "payment method", "unpaid", "overdue", "in arrears", "arrears", "account is in good standing",
			"add more credits", "add * credits", "purchase * credits", "buy * credits", "top up", "please recharge",
			"service quota",
			"余额不足", "额度不足", "额度已用尽", "额度已用完", "欠费", "请充值", "配额不足",
			"saldo insuficiente", "saldo agotado", "credito insuficiente", "creditos insuficientes", "sin credito", "sin saldo",
			"creditos agotados", "cuota agotada", "cuota excedida", "cuota superada", "limite de gasto", "limite de uso alcanzado",
			"presupuesto agotado", "presupuesto excedido",
			"credits insuffisants", "solde insuffisant", "guthaben",
		},
		certain: []int{402},
	},

	// Rate limits: all of them use 429; Bedrock ThrottlingException, Google
	// RESOURCE_EXHAUSTED, Moonshot and Zhipu say concurrency or frequency.
	{
		kind: RateLimited, reason: "rate limit",
		vague: "rate_limit_exceeded rate_limit_error rate_limited rate_limit RateLimitError rate_limit_reached_error " +
			"too_many_requests TooManyRequestsException TooManyRequestsError RESOURCE_EXHAUSTED ThrottlingException Throttling " +
			"ThrottlingError throttled throttling_error RequestLimitExceeded concurrency_limit_exceeded quota_exceeded QuotaExceeded " +
			"limit_requests limit_burst_rate",
		phrases: []string{
			"rate limit", "ratelimit", "rate * exceeded", "request rate", "too many requests", "too many tokens",
			"too many concurrent", "throttl", "requests per minute", "requests per second", "requests per hour", "requests per day",
			"tokens per minute", "tokens per second", "tokens per hour", "tokens per day", "free models per min",
			"concurrency limit", "concurrent request * limit", "concurrent request * exceed", "max concurrent", "concurrency * exceed",
			"limiting requests", "request limit", "requests limit", "token limit per", "frequency limit", "acceleration limit",
			"resource exhausted", "resource has been exhausted", "quota exhausted", "requesting too frequently", "too frequent",
			"频率", "速率限制", "限流", "请求过于频繁", "请求过多", "并发",
			"limite de velocidad", "limite de tasa", "limite de peticiones", "limite de solicitudes", "limite de frecuencia",
			"demasiadas solicitudes", "demasiadas peticiones", "demasiados requests",
			"trop de requetes", "zu viele anfragen", "muitas solicitacoes", "muitas requisicoes",
		},
		status: []int{429},
	},

	// Overload: Anthropic 529, OpenAI and Gemini 503, Azure 429 "high demand",
	// Groq 498, Bedrock ModelNotReady 429, Moonshot engine_overloaded, NVIDIA
	// NIM 400 "degraded", vLLM, TGI and Ollama still loading.
	{
		kind: Overloaded, reason: "overloaded",
		codes: "overloaded_error overloaded OverloadedError engine_overloaded engine_overloaded_error server_overloaded model_overloaded " +
			"server_busy slow_down capacity_exceeded flex_capacity_exceeded over_capacity no_capacity insufficient_capacity " +
			"resource_unavailable ModelNotReadyException model_loading no_available_server ServerOverloaded",
		phrases: []string{
			"overload", "over capacity", "at capacity", "no capacity", "out of capacity", "insufficient capacity", "lack of capacity",
			"capacity * exceeded", "capacity limit", "exceeded * capacity", "capacity constraint", "not enough capacity", "limited capacity",
			"high demand", "heavy demand", "heavy load", "high load", "high traffic", "heavy traffic", "is busy", "server busy",
			"servers are busy", "temporarily unavailable", "temporarily not available", "temporary unavailable", "temporarily out of",
			"temporarily down", "service unavailable", "service is unavailable", "service is currently unavailable",
			"currently unavailable", "currently experiencing", "degraded", "is loading", "still loading", "currently loading",
			"loading model", "warming up", "starting up", "cold start", "is not ready", "not ready yet", "no healthy upstream",
			"no available server", "no available worker", "no available instance", "no instances available", "no available capacity",
			"no available backend", "queue is full", "queue full", "queue * exceeded", "under maintenance", "scheduled maintenance",
			"resources are insufficient", "insufficient resources", "cuda out of memory", "out of memory",
			"繁忙", "过载", "超负荷", "负载过高", "服务不可用",
			"sobrecargad", "saturad", "no disponible temporalmente", "temporalmente no disponible", "servicio no disponible",
			"en mantenimiento", "alta demanda",
			"est surcharge", "uberlastet", "sobrecarregad",
		},
		vague:   "UNAVAILABLE service_unavailable ServiceUnavailable ServiceUnavailableException ServiceUnavailableError service_unavailable_error conflict_error ABORTED",
		certain: []int{529},
		status:  []int{503, 498, 409, 423, 425},
	},

	// Failures of servers and gateways, and connections as clients in Go,
	// Python, Node and Rust put them into words.
	{
		kind: Unreachable, reason: "server error",
		vague: "api_error server_error internal_error internal_server_error InternalServerError InternalServerException INTERNAL " +
			"InternalFailure APIConnectionError ConnectError ConnectionError ConnectionResetError ConnectionRefusedError RemoteProtocolError " +
			"ReadError SSLError connection_error network_error upstream_error bad_gateway gateway_timeout provider_unavailable " +
			"provider_error proxy_error ModelErrorException ModelStreamErrorException model_stream_error internalServerException UNKNOWN DATA_LOSS",
		phrases: []string{
			"internal server error", "internal error", "internal failure", "server had an error", "server error", "unexpected server",
			"bad gateway", "bad response from upstream", "gateway timeout", "gateway time out", "upstream connect", "upstream error",
			"upstream request timeout", "error from upstream", "disconnect reset before headers", "web server is down", "origin * unreachable",
			"error interno", "fallo interno", "erreur interne", "erro interno", "服务器错误", "内部错误", "系统错误",
		},
		status: []int{500, 502, 504, 424, 499},
	},
	{
		kind: Unreachable, reason: "connection failed",
		phrases: []string{
			"connection refused", "connection reset", "connection aborted", "connection closed", "connection error", "connection lost",
			"connection timed out", "connection timeout", "connection terminated", "connection was", "connection failed", "connection broken",
			"connect timeout", "connecttimeout", "connect error", "connect econn", "connect etimedout", "failed to connect", "could not connect",
			"couldnt connect", "unable to connect", "cannot connect", "cant connect", "failed to establish", "all connection attempts failed",
			"closed connection", "peer closed", "remote end closed", "server disconnected", "server closed", "econnreset", "econnrefused",
			"enotfound", "etimedout", "epipe", "ehostunreach", "eai again", "broken pipe", "socket hang up", "socket closed", "network error",
			"network connection", "network is unreachable", "network unreachable", "no route to host", "no such host", "dial tcp", "dns$",
			"name or service not known", "name resolution", "nodename nor servname", "getaddrinfo", "could not resolve host", "lookup * i o timeout",
			"unexpected eof", "eof$", "empty reply from server", "incomplete chunked read", "incompleteread", "chunkedencodingerror",
			"tls handshake", "ssl error", "ssl handshake", "certificate", "x509", "fetch failed", "failed to fetch", "http2", "goaway",
			"refused stream", "stream error", "protocol error", "error sending request", "proxy error", "proxyconnect", "operation was aborted",
			"request was aborted", "premature close", "err network", "err connection", "max retries exceeded with url",
			"连接被", "连接失败", "网络错误", "网络异常",
			"conexion rechazada", "conexion cerrada", "conexion perdida", "conexion reiniciada", "conexion interrumpida", "error de conexion",
			"error de red", "fallo de conexion", "fallo de red", "no se pudo conectar", "no se puede conectar", "sin conexion", "servidor caido",
			"connexion refusee", "verbindung abgelehnt", "conexao recusada",
		},
		scope: notRefused,
	},
	{
		kind: Truncated, reason: "stream broke off",
		phrases: []string{
			"stream disconnected before", "stream closed before", "stream ended before", "stream ended without", "stream ended unexpectedly",
			"stream was interrupted", "stream interrupted", "truncated stream", "stream truncated", "missing message stop",
		},
		scope: notRefused,
	},
	{
		kind: TimedOut, reason: "timed out",
		vague: "timeout_error TimeoutError APITimeoutError Timeout ReadTimeout ReadTimeoutError request_timeout DEADLINE_EXCEEDED DeadlineExceeded ModelTimeoutException modelTimeoutException",
		phrases: []string{
			"timed out", "timeout", "time out", "timedout", "readtimeout", "deadline exceeded", "deadline expired", "deadline has elapsed",
			"took too long", "too long to respond", "too long to process", "time limit exceeded", "exceeded * time limit", "no response after",
			"no response within", "no response in", "did not respond within", "did not respond in time", "hung$", "no first token", "no output for", "stalled",
			"超时",
			"tiempo de espera", "tiempo agotado", "tiempo excedido", "tiempo maximo", "tiempo limite", "tardo demasiado", "demasiado tiempo",
			"sin respuesta en", "sin respuesta tras", "sin respuesta despues", "no respondio", "agoto el tiempo",
			"delai d attente", "delai depasse", "zeituberschreitung", "tempo esgotado", "tempo limite",
		},
		scope:  notRefused,
		status: []int{408},
	},
	{
		kind: Canceled, reason: "canceled",
		vague:   "CancelledError AbortError",
		phrases: []string{"context canceled", "context cancelled", "request canceled", "request cancelled", "operation was canceled", "cancelled by user", "canceled by user", "cancelled by the user", "canceled by the user", "cancelado por el usuario"},
		scope:   noStatus,
	},

	// Regions: OpenAI 403, Gemini 400 FAILED_PRECONDITION, Anthropic 403, 451.
	{
		kind: Unauthorized, reason: "region",
		codes: "unsupported_country_region_territory unsupported_country unsupported_region region_not_supported region_blocked",
		phrases: []string{
			"country * not supported", "region * not supported", "territory * not supported", "location is not supported",
			"not available in your country", "not available in your region", "not available in your location", "not available in this region",
			"unsupported country", "unsupported region", "supported countries", "region is not allowed", "geographic",
			"pais no * soportado", "region no * soportada", "no disponible en tu", "no disponible en su pais",
		},
		status: []int{451},
	},

	// Keys, accounts and permissions: 401 and 403 nearly everywhere, Gemini 400
	// for a bad key, Bedrock by exception, Alibaba and Zhipu by message.
	{
		kind: Unauthorized, reason: "credential",
		codes: "invalid_api_key InvalidApiKey invalid_key invalid_x_api_key API_KEY_INVALID API_KEY_SERVICE_BLOCKED missing_api_key no_api_key " +
			"api_key_expired expired_api_key incorrect_api_key_provided invalid_authentication invalid_authentication_error invalid_token token_expired " +
			"authentication_error AuthenticationError AuthenticationException auth_error unauthenticated UNAUTHENTICATED unauthorized UnauthorizedError " +
			"UnrecognizedClientException ExpiredTokenException InvalidSignatureException IncompleteSignature InvalidClientTokenId MissingAuthenticationToken " +
			"account_deactivated account_suspended account_disabled organization_restricted organization_disabled blocked_api_access " +
			"invalid_organization mismatched_organization ip_not_authorized insufficient_permissions missing_scope",
		vague: "permission_error permission_denied PERMISSION_DENIED PermissionDeniedError access_denied AccessDenied AccessDeniedException forbidden",
		phrases: []string{
			"invalid api key", "invalid * api key", "invalid apikey", "invalid key", "incorrect api key", "wrong api key", "bad api key",
			"api key * invalid", "api key * not valid", "api key not valid", "api key * expired", "api key expired", "api key not found",
			"api key * missing", "api key is required", "api key required", "api key * revoked", "api key * disabled", "api key * leaked",
			"api key * not authorized", "api key * incorrect", "api key * not configured", "missing api key", "no api key", "didnt provide an api key",
			"did not provide an api key", "expired api key", "invalid x api key", "no auth credentials", "no cookie auth", "missing authentication",
			"missing authorization", "authorization header", "bearer token", "authorization failed", "invalid credentials", "invalid * credentials",
			"invalid authentication", "invalid access token", "invalid bearer", "invalid auth", "credentials * invalid", "credentials * expired",
			"could not validate credentials", "could not resolve authentication", "authentication fail", "authentication error",
			"authentication required", "authentication is required", "failed to authenticate", "not authenticated", "unauthenticated",
			"please log in", "please login", "not logged in", "login required", "oauth token", "access token * expired", "token has expired", "token is expired",
			"security token", "signature we calculated", "signature does not match", "unauthorized", "not authorized", "unauthorised",
			"forbidden", "permission denied", "permission * denied", "access denied", "access * denied", "not have permission", "lacks permission",
			"missing permission", "insufficient permission", "no permission", "do not have access", "dont have access", "does not have access",
			"doesnt have access", "not have access", "not allowed to access", "account * suspended", "account * disabled", "account * deactivated", "account * banned",
			"account * blocked", "account * deleted", "account * locked", "account not found", "user not found", "organization * disabled",
			"organization * restricted", "must be verified to", "verify your organization", "ip address * not allowed",
			"not included in your plan", "upgrade your plan", "subscription * required", "requires a subscription",
			"密钥", "无效的令牌", "令牌无效", "令牌已过期", "鉴权", "认证失败", "未授权", "无权", "身份验证",
			"clave * invalida", "clave de api", "clave api", "clave no valida", "clave * no valida", "clave * no es valida", "credenciales", "no autorizado", "no autorizada",
			"acceso denegado", "permiso denegado", "autenticacion", "api key invalida", "api key no valida", "token invalido",
			"cle api invalide", "non autorise", "nicht autorisiert", "nao autorizado", "chave * invalida",
		},
		status: []int{401, 403, 407},
	},

	// Models that are not there, or no longer: 404 and 410 nearly everywhere,
	// OpenRouter "no endpoints found", Mistral 400, Bedrock 400.
	{
		kind: NotFound, reason: "no such model",
		codes: "model_not_found ModelNotFound ModelNotFoundError model_not_exist model_not_available model_not_supported unsupported_model unknown_model " +
			"invalid_model invalid_model_id no_such_model model_deprecated model_decommissioned model_retired model_terminated DeploymentNotFound " +
			"deployment_not_found ServiceModelDeprecating ServiceModelDeprecated ResourceNotFoundException InvalidEndpointOrModel.NotFound ModelEndOfLife unknown_url",
		vague: "not_found_error NotFoundError NOT_FOUND not_found resource_not_found",
		phrases: []string{
			"no such model", "unknown model", "invalid model name", "invalid model id", "invalid model identifier", "invalid model specified",
			"model identifier is invalid", "not a valid model", "model name is not valid", "model * is not valid", "model not exist", "model * not exist",
			"model * is not supported", "model not supported", "model * unavailable for", "model * not available", "model is not available", "model * could not be found",
			"cannot find model", "could not find model", "unrecognized model", "model * unrecognized",
			"model * deprecated", "model * decommissioned", "decommissioned", "model * retired", "has been retired", "end of life",
			"no longer available", "model * no longer", "no longer offered", "no longer served", "sunset", "discontinued",
			"model * removed", "has been shut down", "period has ended", "no endpoints found", "no endpoints available",
			"no allowed providers", "no providers available", "no provider available", "no provider found",
			"not a chat model", "not a completion model", "only supported in v1", "not supported in the v1", "not supported for generatecontent",
			"not supported via * converse", "on demand throughput isnt supported", "on demand throughput is not supported",
			"deployment * does not exist", "deployment * not found", "api deployment for this resource", "try pulling it first", "pull model",
			"model is not loaded", "endpoint not found", "endpoint * does not exist", "resource * not found", "no route matched", "page not found",
			"模型不存在", "模型未找到", "模型已下线", "不支持的模型", "没有可用的模型",
			"modelo no encontrado", "modelo * no encontrado", "modelo no existe", "modelo * no existe", "modelo * no disponible", "modelo * retirado",
			"modelo * obsoleto", "modelo desconocido", "no se encontro el modelo", "no existe el modelo", "modelo invalido", "modelo no soportado",
			"modele introuvable", "modell nicht gefunden", "modelo nao encontrado",
		},
		status: []int{404, 410},
	},

	// Requests larger than the context window, in tokens or in bytes: OpenAI,
	// Anthropic, Gemini, Bedrock, OpenRouter, vLLM, TGI, llama.cpp, Alibaba.
	{
		kind: TooLong, reason: "context length",
		codes: "context_length_exceeded context_window_exceeded ContextWindowExceededError model_context_window_exceeded exceed_context_size_error " +
			"context_limit_exceeded max_context_length_exceeded prompt_too_long input_too_long request_too_large RequestTooLargeError payload_too_large " +
			"string_above_max_length tokens_limit_reached token_limit_exceeded",
		phrases: []string{
			"context length", "context window", "context size", "context limit", "maximum context", "max context", "exceeds * context", "exceeded * context",
			"prompt is too long", "prompt too long", "prompt * too long", "input is too long", "input too long", "input * too long", "message too long",
			"messages are too long", "request is too long", "conversation is too long", "text is too long", "too many input tokens", "too many tokens in",
			"too many prompt tokens", "input token count", "input tokens exceed", "prompt tokens exceed", "prompt contains * tokens", "tokens in your prompt", "input length", "prompt length",
			"exceeds the maximum number of tokens", "exceeds the maximum allowed * tokens", "exceeds * token limit", "exceeded * token limit", "exceeding max tokens",
			"token limit exceeded", "maximum * tokens allowed", "exceeds * maximum length", "max model len", "max prompt tokens", "maximum prompt length",
			"max input tokens", "maximum input", "inputs tokens", "request too large", "request is too large", "request entity too large", "content too large",
			"payload too large", "body too large", "body is too large", "prompt is too large", "input is too large", "request size * exceed", "request body size",
			"request exceeds * size", "reduce the length", "reduce your prompt", "reduce the number of tokens", "string too long", "exceed * sequence length",
			"longer than the model", "longer than the maximum",
			"上下文", "超过最大长度", "输入过长", "长度超", "超出最大",
			"contexto * excede", "contexto * supera", "excede * contexto", "supera * contexto", "longitud de contexto", "longitud maxima", "ventana de contexto",
			"demasiado largo", "demasiado larga", "demasiado extens", "limite de tokens", "longueur * contexte", "kontextlange", "tamanho * contexto",
		},
		certain: []int{413},
	},

	// Content filters: OpenAI and Azure 400, OpenRouter 403, Gemini block
	// reasons, Alibaba DataInspectionFailed, DeepSeek, Zhipu.
	{
		kind: Filtered, reason: "content filter",
		codes: "content_filter content_filtered content_filter_error ContentFilter content_policy content_policy_violation ContentPolicyViolationError " +
			"ResponsibleAIPolicyViolation content_moderation moderation_error moderation_blocked moderation content_blocked blocked_content " +
			"DataInspectionFailed data_inspection_failed prompt_blocked invalid_prompt SAFETY PROHIBITED_CONTENT BLOCKLIST RECITATION SPII IMAGE_SAFETY " +
			"safety_error safety_violation refusal sensitive_content InputTextSensitiveContentDetected OutputTextSensitiveContentDetected cyber_policy",
		phrases: []string{
			"content filter", "response was filtered", "prompt was filtered", "content was filtered", "content policy", "content policies", "content management policy", "content moderation", "content violat", "content exists risk",
			"usage policy", "usage policies", "acceptable use", "usage guidelines", "safety system", "safety filter", "safety reasons", "safety polic", "safety setting",
			"safety guidelines", "safety check", "blocked by safety", "blocked due to safety", "flagged", "violat * polic", "violat * terms", "violat * guideline",
			"violat * safety", "requires moderation", "failed moderation", "blocked by * filter", "blocked by * policy", "blocked by * moderation", "prompt was blocked",
			"response was blocked", "request was blocked", "prompt * blocked", "output blocked", "prohibited content", "prohibited use", "inappropriate content", "sensitive content", "sensitive words",
			"sensitive information", "potentially unsafe", "unsafe or sensitive", "responsible ai", "harmful content", "unsafe content", "disallowed content", "data inspection",
			"blocked content", "explicit content", "guardrail intervened", "guardrail * blocked", "refused to answer",
			"敏感", "违规", "内容安全", "不当内容", "审核",
			"politica de contenido", "politicas de contenido", "politicas de uso", "filtro de contenido", "filtro de seguridad", "contenido inapropiado",
			"contenido * bloqueado", "contenido sensible", "contenido prohibido", "bloqueado por", "filtre de contenu", "inhaltsfilter",
		},
	},

	// Answers that are not what was asked for. The request was well, and a new
	// sample may be too: Groq and OpenRouter report bad tool calls with 400.
	{
		kind: Malformed, reason: "malformed tool call",
		codes: "tool_use_failed malformed_function_call MALFORMED_FUNCTION_CALL malformed_tool_call invalid_tool_call UNEXPECTED_TOOL_CALL json_validate_failed " +
			"output_parse_failed invalid_model_output",
		phrases: []string{
			"tool call * could not be parsed", "tool call * not be parsed", "tool call validation failed", "tool call * failed validation", "failed to parse tool", "failed to parse function",
			"failed to parse the tool", "could not parse tool", "could not parse function", "unable to parse tool", "invalid tool call generated", "malformed tool call",
			"malformed function call", "model called a tool", "model called a function", "model attempted to call", "attempted to call tool", "failed to call a function",
			"failed to generate json", "failed to generate a valid", "generated * invalid json", "model output * invalid", "model output * could not be parsed", "model * generated * malformed",
			"failed to parse model", "error parsing tool call", "failed to parse input at pos", "tool call parsing", "hallucinated tool",
			"llamada a herramienta * invalida", "no se pudo parsear", "no se pudo interpretar", "no se pudo analizar",
		},
	},
	{
		kind: Malformed, reason: "invalid answer",
		vague: "JSONDecodeError json_decode_error APIResponseValidationError invalid_response invalid_response_error JSONSchemaValidationError OutputParserException UnexpectedModelBehavior",
		phrases: []string{
			"expecting value", "expecting property name", "expecting delimiter", "delimiter * line", "extra data line", "unterminated string", "invalid control character",
			"invalid escape", "unexpected end of json", "unexpected end of input", "unexpected end of data", "unexpected token", "unexpected character", "is not valid json", "not valid json",
			"invalid json", "malformed json", "json parse", "json decode", "parse json", "parsing json", "decode json", "decoding json", "invalid character * looking for", "invalid character * after", "cannot unmarshal",
			"could not parse response", "could not parse the response", "failed to parse response", "failed to parse the response", "failed to parse output", "failed to decode", "error decoding response",
			"error parsing response", "invalid response", "malformed response", "unexpected response", "missing choices", "no message in response", "response validation failed",
			"schema validation", "validation error for", "does not match schema", "does not match the schema", "not match expected schema", "failed validation", "no valid json", "no json found", "no tool call", "sin tool call", "sin llamada a herramienta",
			"empty response", "empty reply", "no response from model", "no response text", "no text", "no content",
			// How Python says that a field of the answer is missing.
			"nonetype object", "list index out of range", "keyerror",
			"解析失败", "返回为空", "空响应",
			"json invalido", "json no valido", "json mal", "respuesta invalida", "respuesta no valida", "respuesta mal", "respuesta malformada", "respuesta truncada", "respuesta incompleta",
			"no es json", "sin json", "formato invalido", "formato incorrecto", "esquema", "sin respuesta",
			"json invalide", "ungultiges json", "resposta invalida",
		},
		scope: noStatus,
	},

	// The caller's fault: 400 and 422 nearly everywhere, pydantic's detail list.
	{
		kind: Invalid, reason: "invalid request",
		vague: "invalid_request_error invalid_request BadRequestError bad_request INVALID_ARGUMENT FAILED_PRECONDITION OUT_OF_RANGE UNIMPLEMENTED ValidationException validation_error " +
			"invalid_parameter InvalidParameter InvalidParameterValue invalid_argument unprocessable_entity UnprocessableEntityError unprocessable_entity_error UnsupportedParamsError " +
			"invalid_type invalid_schema invalid_function_parameters invalid_image invalid_image_url invalid_json",
		phrases: []string{
			"invalid request", "bad request", "unrecognized request", "unknown parameter", "unknown field", "unknown name", "unexpected parameter", "unexpected field", "missing required",
			"missing parameter", "missing field", "required parameter", "required field", "field required", "is required", "must be", "must contain", "must not be", "must alternate", "must end with", "must start with", "does not support",
			"is not supported", "are not supported", "not supported", "unsupported", "unexpected role", "invalid role", "invalid value", "invalid type", "invalid format", "invalid schema", "invalid image",
			"invalid parameter", "invalid argument", "invalid input", "invalid message", "invalid tool", "invalid function", "invalid temperature", "invalid max tokens", "invalid json payload", "validation error", "extra inputs",
			"extra body", "extra fields", "not permitted", "should be", "at least one", "cannot be empty", "may not be empty", "streaming is required", "unprocessable", "schema error", "malformed request",
			"参数错误", "参数无效", "参数非法", "请求无效",
			"solicitud invalida", "peticion invalida", "peticion incorrecta", "parametro", "solicitud incorrecta", "requete invalide", "ungultige anfrage", "requisicao invalida",
		},
		scope:  atFault,
		status: []int{400, 422},
	},
}
