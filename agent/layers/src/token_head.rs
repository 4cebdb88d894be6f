//! The head: the last rows of a step in, next tokens or logits out.

use checkpoint::Error;
use checkpoint::lora::Adapter;
use generation::compute::NextToken;
use kernels::{Argmax, Dispatch, Epilogue, Head, Kernels, Rows, Storage, Weights};

#[derive(Debug)]
pub struct TokenHead {
    dispatch: &'static Dispatch,
    /// Of a head that an adapter changes.
    storage: Storage,
    /// Vocabulary and width.
    shape: (usize, usize),
    head: Head,
    /// One for each token.
    bias: Option<Vec<f32>>,
    /// From an adapter that changes the head.
    adapted: Option<Head>,
    argmax: Vec<Argmax>,
    /// Some of the rows.
    chosen: Rows,
    /// `[rows, vocabulary]`, on request.
    logits: Rows,
}

impl TokenHead {
    /// Packs `values`, `[vocabulary, width]`.
    pub fn pack(
        dispatch: &'static Dispatch,
        storage: Storage,
        shape: (usize, usize),
        values: &[f32],
        bias: Option<Vec<f32>>,
    ) -> Self {
        let head = with_bias(Head::pack(dispatch, storage, shape, values), bias.as_deref());
        Self::with_head(dispatch, storage, shape, head, bias)
    }

    /// A head without a bias of packed blocks. One that an adapter changes is packed as `adapted`.
    pub fn of(weights: Weights, adapted: Storage) -> Self {
        let (dispatch, shape) = (weights.dispatch(), (weights.outputs(), weights.inputs()));
        Self::with_head(dispatch, adapted, shape, Head::of(weights), None)
    }

    fn with_head(
        dispatch: &'static Dispatch,
        storage: Storage,
        shape: (usize, usize),
        head: Head,
        bias: Option<Vec<f32>>,
    ) -> Self {
        Self {
            dispatch,
            storage,
            shape,
            head,
            bias,
            adapted: None,
            argmax: Vec::new(),
            chosen: Rows::new(shape.1),
            logits: Rows::new(shape.0),
        }
    }

    /// Takes the head that an adapter changes, or returns to the base's.
    pub fn adapt(&mut self, adapter: Option<&Adapter>) -> Result<(), Error> {
        let values = adapter.map(Adapter::head).transpose()?.flatten();
        self.adapted = values.map(|values| {
            let head = Head::pack(self.dispatch, self.storage, self.shape, &values);
            with_bias(head, self.bias.as_deref())
        });
        Ok(())
    }

    /// The head in use.
    pub fn head(&self) -> &Head {
        self.adapted.as_ref().unwrap_or(&self.head)
    }

    /// The rows of the base's head at these tokens: the embeddings of a tied model.
    pub fn rows<'a>(&self, tokens: impl ExactSizeIterator<Item = &'a u32>, to: &mut Rows) {
        to.resize(tokens.len());
        for (row, token) in tokens.enumerate() {
            self.head.weights().row(*token as usize, to.row_mut(row));
        }
    }

    /// Bytes of the base's head.
    pub fn bytes(&self) -> usize {
        self.head.bytes()
    }

    pub fn adapter_bytes(&self) -> usize {
        self.adapted.as_ref().map_or(0, Head::bytes)
    }

    /// The next token of each row of `x`, `[rows, width]`.
    pub fn next(&mut self, kernels: &mut Kernels, x: &Rows, best: &mut Vec<NextToken>) {
        let head = self.adapted.as_ref().unwrap_or(&self.head);
        kernels.argmax(head, x, &mut self.argmax);
        best.clear();
        best.extend(self.argmax.iter().map(|argmax| NextToken {
            id: u32::try_from(argmax.column).expect("a vocabulary fits into u32"),
            logit: argmax.sum,
        }));
    }

    /// The logits of the rows at the ascending indices `scored`, and the next tokens of the others.
    pub fn next_and_logits(
        &mut self,
        kernels: &mut Kernels,
        x: &Rows,
        scored: &[usize],
        best: &mut Vec<NextToken>,
        logits: &mut Vec<f32>,
    ) {
        best.clear();
        logits.clear();
        let others: Vec<usize> =
            (0..x.count()).filter(|row| scored.binary_search(row).is_err()).collect();
        if !others.is_empty() {
            let mut chosen = std::mem::replace(&mut self.chosen, Rows::new(0));
            choose(x, &others, &mut chosen);
            self.next(kernels, &chosen, best);
            self.chosen = chosen;
        }
        if !scored.is_empty() {
            choose(x, scored, &mut self.chosen);
            let head = self.adapted.as_ref().unwrap_or(&self.head);
            kernels.gemm(head.weights(), &self.chosen, Epilogue::Store, &mut self.logits);
            let rows = 0..self.logits.count();
            rows.for_each(|row| logits.extend_from_slice(self.logits.row(row)));
        }
    }

    /// All logits, `[rows, vocabulary]`.
    pub fn logits(&mut self, kernels: &mut Kernels, x: &Rows) -> Vec<f32> {
        let head = self.adapted.as_ref().unwrap_or(&self.head);
        kernels.gemm(head.weights(), x, Epilogue::Store, &mut self.logits);
        (0..x.count()).flat_map(|row| self.logits.row(row).iter().copied()).collect()
    }
}

fn choose(from: &Rows, rows: &[usize], to: &mut Rows) {
    to.resize(rows.len());
    for (place, row) in rows.iter().enumerate() {
        to.row_mut(place).copy_from_slice(from.row(*row));
    }
}

fn with_bias(head: Head, bias: Option<&[f32]>) -> Head {
    match bias {
        Some(bias) => head.with_bias(bias),
        None => head,
    }
}
