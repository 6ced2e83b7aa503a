//! A parsed chat template rewritten so that it charges for what it builds ([`super::budget`]).
//!
//! What is not supported ([`super::allowed`]) is refused by name when the template is loaded.

use minijinja::machinery::Span;
use minijinja::machinery::ast::{
    BinOp, BinOpKind, Call, CallArg, Compare, CompareOp, Const, EmitExpr, Expr, Filter, ForLoop,
    GetAttr, GetItem, IfCond, IfExpr, List, Macro, Map, Set, SetBlock, Slice, Spanned, Stmt,
    Template, Test, Tuple, UnaryOp, UnaryOpKind, Var, WithBlock,
};
use minijinja::value::Value;

use super::allowed;
use super::budget::{CHARGE, CHECK};

/// A statement that charges for everything it makes; the error names what is not supported.
pub(super) fn charged<'a>(statement: &Stmt<'a>) -> Result<Stmt<'a>, String> {
    let mut rewriter = Rewriter { macros: Vec::new() };
    rewriter.find_macros(statement);
    rewriter.statement(statement)
}

struct Rewriter<'a> {
    macros: Vec<&'a str>,
}

impl<'a> Rewriter<'a> {
    fn find_macros(&mut self, statement: &Stmt<'a>) {
        match statement {
            Stmt::Template(s) => s.children.iter().for_each(|child| self.find_macros(child)),
            Stmt::Macro(s) => self.macros.push(s.name),
            Stmt::IfCond(s) => {
                let bodies = s.true_body.iter().chain(&s.false_body);
                bodies.for_each(|child| self.find_macros(child));
            }
            _ => {}
        }
    }

    fn statements(&self, statements: &[Stmt<'a>]) -> Result<Vec<Stmt<'a>>, String> {
        statements
            .iter()
            .map(|statement| self.statement(statement))
            .collect()
    }

    fn statement(&self, statement: &Stmt<'a>) -> Result<Stmt<'a>, String> {
        Ok(match statement {
            Stmt::Template(s) => {
                let children = self.statements(&s.children)?;
                Stmt::Template(Spanned::new(Template { children }, s.span()))
            }
            Stmt::EmitExpr(s) => emit(charge(self.expression(&s.expr)?, s.span()), s.span()),
            Stmt::EmitRaw(s) => {
                let text = Const {
                    value: Value::from(s.raw),
                };
                emit(
                    charge(Expr::Const(Spanned::new(text, s.span())), s.span()),
                    s.span(),
                )
            }
            Stmt::ForLoop(s) => {
                let new = ForLoop {
                    target: target(&s.target)?,
                    iter: self.expression(&s.iter)?,
                    filter_expr: self.optional(s.filter_expr.as_ref())?,
                    recursive: s.recursive,
                    body: self.statements(&s.body)?,
                    else_body: self.statements(&s.else_body)?,
                };
                Stmt::ForLoop(Spanned::new(new, s.span()))
            }
            Stmt::IfCond(s) => {
                let new = IfCond {
                    expr: self.expression(&s.expr)?,
                    true_body: self.statements(&s.true_body)?,
                    false_body: self.statements(&s.false_body)?,
                };
                Stmt::IfCond(Spanned::new(new, s.span()))
            }
            Stmt::WithBlock(s) => {
                let assign = |(to, expr): &(Expr<'a>, Expr<'a>)| {
                    Ok::<_, String>((target(to)?, self.expression(expr)?))
                };
                let new = WithBlock {
                    assignments: s.assignments.iter().map(assign).collect::<Result<_, _>>()?,
                    body: self.statements(&s.body)?,
                };
                Stmt::WithBlock(Spanned::new(new, s.span()))
            }
            Stmt::Set(s) => {
                let new = Set {
                    target: target(&s.target)?,
                    expr: self.expression(&s.expr)?,
                };
                Stmt::Set(Spanned::new(new, s.span()))
            }
            Stmt::SetBlock(s) => {
                // The body's output is charged as it is written, and once more as a value.
                let inner = self.optional(s.filter.as_ref())?;
                let filter = Filter {
                    name: CHARGE,
                    expr: inner,
                    args: Vec::new(),
                };
                let new = SetBlock {
                    target: target(&s.target)?,
                    filter: Some(Expr::Filter(Spanned::new(filter, s.span()))),
                    body: self.statements(&s.body)?,
                };
                Stmt::SetBlock(Spanned::new(new, s.span()))
            }
            Stmt::Macro(s) => {
                let new = Macro {
                    name: s.name,
                    args: s.args.iter().map(target).collect::<Result<_, _>>()?,
                    defaults: self.expressions(&s.defaults)?,
                    body: self.statements(&s.body)?,
                };
                Stmt::Macro(Spanned::new(new, s.span()))
            }
            _ => return Err("it uses a statement that chat templates have no need of".into()),
        })
    }

    fn optional(&self, expr: Option<&Expr<'a>>) -> Result<Option<Expr<'a>>, String> {
        expr.map(|expr| self.expression(expr)).transpose()
    }

    fn expressions(&self, all: &[Expr<'a>]) -> Result<Vec<Expr<'a>>, String> {
        all.iter().map(|expr| self.expression(expr)).collect()
    }

    /// An operand of something that writes it out or copies it.
    fn operand(&self, expr: &Expr<'a>) -> Result<Expr<'a>, String> {
        Ok(wrapped(CHECK, self.expression(expr)?, expr.span()))
    }

    fn arguments(&self, args: &[CallArg<'a>]) -> Result<Vec<CallArg<'a>>, String> {
        let argument = |arg: &CallArg<'a>| {
            Ok(match arg {
                CallArg::Pos(expr) => CallArg::Pos(self.operand(expr)?),
                CallArg::Kwarg(name, expr) => CallArg::Kwarg(name, self.operand(expr)?),
                CallArg::PosSplat(_) | CallArg::KwargSplat(_) => {
                    return Err("it passes arguments with * or **".into());
                }
            })
        };
        args.iter().map(argument).collect()
    }

    fn expression(&self, expr: &Expr<'a>) -> Result<Expr<'a>, String> {
        let span = expr.span();
        Ok(match expr {
            Expr::Var(e) => Expr::Var(Spanned::new(Var { id: e.id }, span)),
            Expr::Const(e) => Expr::Const(Spanned::new(
                Const {
                    value: e.value.clone(),
                },
                span,
            )),
            Expr::Slice(e) => {
                let new = Slice {
                    expr: self.operand(&e.expr)?,
                    start: self.optional(e.start.as_ref())?,
                    stop: self.optional(e.stop.as_ref())?,
                    step: self.optional(e.step.as_ref())?,
                };
                charge(Expr::Slice(Spanned::new(new, span)), span)
            }
            Expr::UnaryOp(e) => {
                let op = if matches!(e.op, UnaryOpKind::Not) {
                    UnaryOpKind::Not
                } else {
                    UnaryOpKind::Neg
                };
                let new = UnaryOp {
                    op,
                    expr: self.expression(&e.expr)?,
                };
                Expr::UnaryOp(Spanned::new(new, span))
            }
            Expr::BinOp(e) => self.binary(e, span)?,
            Expr::Compare(e) => {
                let compare = |op: &CompareOp<'a>| {
                    Ok::<_, String>(CompareOp {
                        op: op.op,
                        expr: self.operand(&op.expr)?,
                    })
                };
                let new = Compare {
                    expr: self.operand(&e.expr)?,
                    ops: e.ops.iter().map(compare).collect::<Result<_, _>>()?,
                };
                Expr::Compare(Spanned::new(new, span))
            }
            Expr::IfExpr(e) => {
                let new = IfExpr {
                    test_expr: self.expression(&e.test_expr)?,
                    true_expr: self.expression(&e.true_expr)?,
                    false_expr: self.optional(e.false_expr.as_ref())?,
                };
                Expr::IfExpr(Spanned::new(new, span))
            }
            Expr::Filter(e) => {
                allowed::filter(e.name)?;
                let new = Filter {
                    name: e.name,
                    expr: e.expr.as_ref().map(|expr| self.operand(expr)).transpose()?,
                    args: self.arguments(&e.args)?,
                };
                charge(Expr::Filter(Spanned::new(new, span)), span)
            }
            Expr::Test(e) => {
                let new = Test {
                    name: e.name,
                    expr: self.operand(&e.expr)?,
                    args: self.arguments(&e.args)?,
                };
                Expr::Test(Spanned::new(new, span))
            }
            Expr::GetAttr(e) => {
                let new = GetAttr {
                    expr: self.expression(&e.expr)?,
                    name: e.name,
                };
                Expr::GetAttr(Spanned::new(new, span))
            }
            Expr::GetItem(e) => {
                let new = GetItem {
                    expr: self.expression(&e.expr)?,
                    subscript_expr: self.expression(&e.subscript_expr)?,
                };
                Expr::GetItem(Spanned::new(new, span))
            }
            Expr::Call(e) => self.call(e, span)?,
            Expr::List(e) => {
                let new = List {
                    items: self.expressions(&e.items)?,
                };
                charge(Expr::List(Spanned::new(new, span)), span)
            }
            Expr::Tuple(e) => {
                let new = Tuple {
                    items: self.expressions(&e.items)?,
                };
                charge(Expr::Tuple(Spanned::new(new, span)), span)
            }
            Expr::Map(e) => {
                let new = Map {
                    keys: self.expressions(&e.keys)?,
                    values: self.expressions(&e.values)?,
                };
                charge(Expr::Map(Spanned::new(new, span)), span)
            }
        })
    }

    fn binary(&self, e: &BinOp<'a>, span: Span) -> Result<Expr<'a>, String> {
        let is_choice = matches!(e.op, BinOpKind::ScAnd | BinOpKind::ScOr);
        // Behind a filter an operand is no constant, so nothing is computed while compiling.
        let side = |expr| {
            if is_choice {
                self.expression(expr)
            } else {
                self.operand(expr)
            }
        };
        let new = BinOp {
            op: e.op,
            left: side(&e.left)?,
            right: side(&e.right)?,
        };
        let made = Expr::BinOp(Spanned::new(new, span));
        Ok(if is_choice { made } else { charge(made, span) })
    }

    fn call(&self, e: &Call<'a>, span: Span) -> Result<Expr<'a>, String> {
        let called = match &e.expr {
            Expr::Var(var) => {
                if !self.macros.contains(&var.id) {
                    allowed::function(var.id)?;
                }
                self.expression(&e.expr)?
            }
            Expr::GetAttr(attr) => {
                let cycles = matches!(&attr.expr, Expr::Var(var) if var.id == "loop");
                if !cycles || attr.name != "cycle" {
                    allowed::method(attr.name)?;
                }
                // A check would hide which loop is meant.
                let of = if cycles {
                    self.expression(&attr.expr)?
                } else {
                    self.operand(&attr.expr)?
                };
                Expr::GetAttr(Spanned::new(
                    GetAttr {
                        expr: of,
                        name: attr.name,
                    },
                    attr.span(),
                ))
            }
            _ => return Err("it calls what is neither a function nor a method".into()),
        };
        let new = Call {
            expr: called,
            args: self.arguments(&e.args)?,
        };
        Ok(charge(Expr::Call(Spanned::new(new, span)), span))
    }
}

fn emit(expr: Expr<'_>, span: Span) -> Stmt<'_> {
    Stmt::EmitExpr(Spanned::new(EmitExpr { expr }, span))
}

fn charge(expr: Expr<'_>, span: Span) -> Expr<'_> {
    wrapped(CHARGE, expr, span)
}

fn wrapped<'a>(name: &'static str, expr: Expr<'a>, span: Span) -> Expr<'a> {
    let filter = Filter {
        name,
        expr: Some(expr),
        args: Vec::new(),
    };
    Expr::Filter(Spanned::new(filter, span))
}

/// Where a value goes: a name, an attribute of a namespace, or several of them.
fn target<'a>(expr: &Expr<'a>) -> Result<Expr<'a>, String> {
    let span = expr.span();
    let all = |items: &[Expr<'a>]| items.iter().map(target).collect::<Result<Vec<_>, _>>();
    Ok(match expr {
        Expr::Var(e) => Expr::Var(Spanned::new(Var { id: e.id }, span)),
        Expr::GetAttr(e) => {
            let new = GetAttr {
                expr: target(&e.expr)?,
                name: e.name,
            };
            Expr::GetAttr(Spanned::new(new, span))
        }
        Expr::List(e) => Expr::List(Spanned::new(
            List {
                items: all(&e.items)?,
            },
            span,
        )),
        Expr::Tuple(e) => Expr::Tuple(Spanned::new(
            Tuple {
                items: all(&e.items)?,
            },
            span,
        )),
        _ => return Err("it assigns to what is no name".into()),
    })
}
