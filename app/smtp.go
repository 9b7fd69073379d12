package app

// SMTPConfig is what the operator may choose about SMTP.
type SMTPConfig struct{}
